package sshargs

// kind is how the values of a keyword are taken from a line.
type kind uint8

const (
	kindWord    kind = iota // one word, of which the first line counts
	kindList                // words, of which the first line counts
	kindAdd                 // words, of which all lines count
	kindForward             // one or two words that make one value, of which all lines count
	kindRest                // the rest of the line, of which the first line counts
)

// definition is a keyword of ssh_config(5).
type definition struct {
	kind kind
	// read checks a word and returns its one form; nil takes any.
	read func(string) (string, error)
}

// keywords are OpenSSH 10's; with those of Debian's patch for GSSAPI.
var keywords = map[string]definition{
	"addkeystoagent": {kind: kindList}, "addressfamily": {read: oneOf("any", "inet", "inet6")},
	"batchmode": {read: flag}, "bindaddress": {}, "bindinterface": {},
	"canonicaldomains": {kind: kindList}, "canonicalizefallbacklocal": {read: flag},
	"canonicalizehostname": {}, "canonicalizemaxdots": {read: number}, "canonicalizepermittedcnames": {kind: kindList},
	"casignaturealgorithms": {}, "certificatefile": {kind: kindAdd}, "channeltimeout": {kind: kindList},
	"checkhostip": {read: flag}, "ciphers": {}, "clearallforwardings": {read: flag}, "compression": {read: flag},
	"connectionattempts": {read: number}, "connecttimeout": {read: seconds},
	"controlmaster": {read: oneOf("yes", "no", "true", "false", "ask", "auto", "autoask")}, "controlpath": {},
	"controlpersist": {read: persist}, "dynamicforward": {kind: kindForward},
	"enableescapecommandline": {read: flag}, "enablesshkeysign": {read: flag}, "escapechar": {read: escapeChar},
	"exitonforwardfailure": {read: flag}, "fingerprinthash": {}, "forkafterauthentication": {read: flag},
	"forwardagent": {read: flagOr}, "forwardx11": {read: flag}, "forwardx11timeout": {}, "forwardx11trusted": {read: flag},
	"gatewayports": {read: flag}, "globalknownhostsfile": {kind: kindList},
	"gssapiauthentication": {read: flag}, "gssapidelegatecredentials": {read: flag}, "gssapikeyexchange": {read: flag},
	"gssapiclientidentity": {}, "gssapikexalgorithms": {}, "gssapirenewalforcesrekey": {read: flag},
	"gssapiserveridentity": {}, "gssapitrustdns": {read: flag},
	"hashknownhosts": {read: flag}, "host": {kind: kindList}, "hostbasedacceptedalgorithms": {}, "hostbasedauthentication": {read: flag},
	"hostkeyalgorithms": {}, "hostkeyalias": {}, "hostname": {}, "identitiesonly": {read: flag}, "identityagent": {},
	"identityfile": {kind: kindAdd}, "ignoreunknown": {}, "include": {kind: kindList}, "ipqos": {kind: kindList},
	"kbdinteractiveauthentication": {read: flag}, "kbdinteractivedevices": {}, "kexalgorithms": {},
	"knownhostscommand": {kind: kindRest}, "localcommand": {kind: kindRest}, "localforward": {kind: kindForward},
	"loglevel": {read: logLevel}, "logverbose": {kind: kindList}, "macs": {}, "match": {kind: kindList},
	"nohostauthenticationforlocalhost": {read: flag}, "numberofpasswordprompts": {read: number},
	"obscurekeystroketiming": {}, "passwordauthentication": {read: flag}, "permitlocalcommand": {read: flag},
	"permitremoteopen": {kind: kindList}, "pkcs11provider": {}, "port": {read: portNumber}, "preferredauthentications": {},
	"proxycommand": {kind: kindRest}, "proxyjump": {}, "proxyusefdpass": {read: flag}, "pubkeyacceptedalgorithms": {},
	"pubkeyauthentication": {}, "refuseconnection": {kind: kindRest}, "rekeylimit": {kind: kindList},
	"remotecommand": {kind: kindRest}, "remoteforward": {kind: kindForward},
	"requesttty": {read: oneOf("yes", "no", "true", "false", "force", "auto")}, "requiredrsasize": {read: number},
	"revokedhostkeys": {}, "securitykeyprovider": {}, "sendenv": {kind: kindAdd},
	"serveralivecountmax": {read: number}, "serveraliveinterval": {read: seconds},
	"sessiontype": {read: oneOf("none", "subsystem", "default")}, "setenv": {kind: kindList},
	"stdinnull": {read: flag}, "streamlocalbindmask": {}, "streamlocalbindunlink": {read: flag},
	"stricthostkeychecking": {read: oneOf("yes", "no", "true", "false", "ask", "off", "accept-new")},
	"syslogfacility":        {}, "tag": {}, "tcpkeepalive": {read: flag}, "tunnel": {}, "tunneldevice": {},
	"updatehostkeys": {}, "user": {}, "userknownhostsfile": {kind: kindList}, "verifyhostkeydns": {}, "versionaddendum": {kind: kindRest},
	"visualhostkey": {read: flag}, "warnweakcrypto": {}, "xauthlocation": {},
}

// Known reports whether OpenSSH has a keyword, which is in lower case.
func Known(keyword string) bool {
	_, ok := keywords[keyword]
	return ok
}
