package cli

import (
	"encoding/pem"
	"fmt"

	"github.com/spf13/cobra"

	"shellagent/jwtauth"
)

// certificateCommand is here rather than among the agent's commands as keys is:
// it needs a key file and no agent.
func certificateCommand(s *surroundings) *cobra.Command {
	return &cobra.Command{
		Use:   "certificate FILE",
		Short: "Print a host key's certificate",
		Long: `Print the self-signed certificate of a host key, as PEM. An agent shows it behind
its leaf, and it is the same for as long as the agent has this key: a proxy that
is to verify the agent takes it as the one certificate authority, and expects the
name ` + jwtauth.LeafName + `.`,
		Example: `  agent keys certificate /var/lib/shellagent/host_key > shellagent-host.pem`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			key, err := readPrivateKey(ctx, args[0])
			if exit, ok := exitOf(ctx); ok {
				return exit
			}
			if err != nil {
				return err
			}
			if alg := key.PublicKey().Alg(); alg != "EdDSA" {
				return fmt.Errorf("%s is for %s: an agent's host key is an Ed25519 key", args[0], alg)
			}
			der, err := jwtauth.HostCertificate(key)
			if err != nil {
				return err
			}
			return s.print(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
		},
	}
}
