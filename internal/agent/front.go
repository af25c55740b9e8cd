package agent

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"shellagent/broker"
	"shellagent/shell/shellhttp"
)

func frontCommand() *cobra.Command {
	return &cobra.Command{Use: "front", Hidden: true, RunE: func(cmd *cobra.Command, _ []string) error {
		link, err := broker.NewFrontLink(os.NewFile(broker.FrontControlFD, "control"))
		if err != nil {
			return err
		}
		setup, err := link.Setup()
		if err != nil {
			return err
		}
		key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		var cert atomic.Pointer[tls.Certificate]
		doc := setup.Agent
		h := shellhttp.NewHandler(shellhttp.HandlerConfig{Caller: broker.NewCallClient(link.Dial, 512), BasePath: setup.BasePath, Agent: func() []byte { return doc }, Refused: link.Refused, Log: slog.Default()})
		s := shellhttp.NewServer(h, &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert.Load(), nil }})
		go link.RequestLeaf(&key.PublicKey)
		started := false
		return link.Run(context.Background(), broker.FrontEvents{
			Leaf: func(chain [][]byte) {
				cert.Store(&tls.Certificate{Certificate: chain, PrivateKey: key})
				if started {
					return
				}
				started = true
				for i := range setup.Listeners {
					l, err := net.FileListener(os.NewFile(uintptr(broker.FrontListenerFD+i), "l"))
					fmt.Fprintln(os.Stderr, "temp front", err)
					go s.ServeTLS(l, "", "")
				}
				link.Ready()
			},
			Certificate: func(broker.Certificate) {}, Agent: func([]byte) {}, Drain: func(time.Duration) { os.Exit(0) },
		})
	}}
}
