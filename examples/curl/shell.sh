#!/bin/sh
# A whole client of Shell Agent in shell, with curl and openssl only: opens a
# session, types what it reads on standard input, prints what the session says,
# and exits with its code. PROTOCOL.md is its specification.
#
#   openssl genpkey -algorithm ed25519 -out alice.pem
#   agent keys public alice.pem          # the line for verifyKeys
#   printf 'id -un\nexit 7\n' | ./shell.sh myhost:4000 debug alice.pem THUMBPRINT
#
# THUMBPRINT is the agent's: agent keys fingerprint /var/lib/shellagent/host_key.pub
set -eu
[ $# -eq 4 ] || { sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2; }
address=$1 source=$2 key=$3 host=$4
base=https://shellagent:${address##*:}

tmp=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || :; rm -rf "$tmp"' EXIT
trap 'exit 255' INT TERM HUP
die() { echo "shell.sh: $*" >&2; exit 255; }

b64() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
sha() { openssl dgst -sha256 -binary "$@" | b64; }
# unb64 decodes base64url from standard input.
unb64() {
	text=$(tr -- '-_' '+/')
	while [ $((${#text} % 4)) -ne 0 ]; do text=$text=; done
	printf '%s' "$text" | openssl base64 -d -A
}
# member NAME prints a string or number member of the flat JSON on standard input.
member() { sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p"; }

# The public key's JWK and its thumbprint (RFC 7638).
x() { openssl pkey "$@" -pubout -outform DER | tail -c 32 | b64; }
jwk() { printf '{"crv":"Ed25519","kty":"OKP","x":"%s"}' "$1"; }

# be BYTES N writes N as a big-endian number.
be() {
	i=$1
	while [ "$i" -gt 0 ]; do
		i=$((i - 1))
		# shellcheck disable=SC2059 # the format is the byte
		printf "\\$(printf %03o $(($2 >> (8 * i) & 255)))"
	done
}

# The agent's clock less ours, once it is known.
clock=0

# token KEYFILE KID TYP METHOD TARGET BODYFILE MORE-CLAIMS
token() {
	# Milliseconds where date has them: without, a token may seem to be older
	# than an agent that was started within the same second.
	now=$(($(date +%s) + clock)) ms=$(date +%3N)
	case $ms in [0-9][0-9][0-9]) ;; *) ms=000 ;; esac
	rh=$(printf '%s\n%s\n%s' "$4" "$5" "$(sha "$6")" | sha)
	head=$(printf '{"alg":"EdDSA","kid":"%s","typ":"%s"}' "$2" "$3" | b64)
	claims=$(printf '{"iat":%s.%s,"exp":%s.%s,"rh":"%s",%s}' "$now" "$ms" "$((now + 5))" "$ms" "$rh" "$7" | b64)
	signing=$tmp/signing.$3.${6##*/}
	printf '%s.%s' "$head" "$claims" >"$signing"
	printf '%s.%s.%s' "$head" "$claims" "$(openssl pkeyutl -sign -inkey "$1" -rawin -in "$signing" | b64)"
}

# The second certificate of the handshake is the agent's host key, signed by
# itself: believe it only if its thumbprint is the one we were given.
openssl s_client -connect "$address" -showcerts </dev/null 2>/dev/null |
	awk '/BEGIN CERT/ {n++} n == 2 {print} /END CERT/ && n == 2 {exit}' >"$tmp/host.pem"
openssl x509 -in "$tmp/host.pem" -noout -pubkey >"$tmp/host.pub" 2>/dev/null || die "no agent answers on $address"
found=$(jwk "$(x -pubin -in "$tmp/host.pub")" | sha)
[ "$found" = "$host" ] || die "the agent on $address is $found, not $host: not connecting"
tls="--silent --http1.1 --cacert $tmp/host.pem --connect-to shellagent:${address##*:}:$address"

openssl genpkey -algorithm ed25519 -out "$tmp/session.pem"
session_x=$(x -in "$tmp/session.pem")
sid=$(jwk "$session_x" | sha)
kid=$(jwk "$(x -in "$key")" | sha)

# post TARGET BODYFILE COUNTER sends a request signed by the session key.
post() {
	t=$(token "$tmp/session.pem" "$sid" shellagent-req+jwt POST "$1" "$2" "\"jti\":\"$3\"")
	# shellcheck disable=SC2086 # tls is several words
	curl $tls --fail-with-body -H "Authorization: Bearer $t" -H 'Content-Type: application/octet-stream' \
		--data-binary @"$2" "$base$1"
}

# type_all sends standard input, a piece at a time, then its end.
type_all() {
	offset=0 counter=1
	while :; do
		dd bs=4096 count=1 of="$tmp/piece" 2>/dev/null
		size=$(($(wc -c <"$tmp/piece")))
		eof=0
		[ "$size" -gt 0 ] || eof=1
		while :; do
			{ be 8 "$offset"; be 8 0; be 4 "$size"; be 1 "$eof"; be 3 0; cat "$tmp/piece"; } >"$tmp/stdin"
			next=$(post "/v1/sessions/$sid/stdin" "$tmp/stdin" "$counter" | member next)
			counter=$((counter + 1))
			[ -n "$next" ] || return
			# What the agent did not take is sent again from where it says.
			tail -c "$((offset + size - next))" "$tmp/piece" >"$tmp/left"
			size=$((offset + size - next)) offset=$next
			mv "$tmp/left" "$tmp/piece"
			[ "$size" -gt 0 ] || break
		done
		[ "$eof" -eq 0 ] || return 0
	done
}

printf '{"terminal":{"term":"dumb","cols":80,"rows":24}}' >"$tmp/open"
mkfifo "$tmp/events"

# start [NONCE] opens the session; its events come from descriptor 3.
start() {
	id=$(openssl rand 16 | b64)
	open=$(token "$key" "$kid" shellagent-id+jwt POST "/v1/shell/$source" "$tmp/open" \
		"\"jti\":\"$id\",\"aud\":\"$host\",\"cnf\":{\"jwk\":$(jwk "$session_x")}${1:+,\"nonce\":\"$1\"}")
	# shellcheck disable=SC2086
	curl $tls -N -D "$tmp/headers" -H "Authorization: Bearer $open" -H 'Content-Type: application/json' \
		--data-binary @"$tmp/open" "$base/v1/shell/$source" >"$tmp/events" &
	exec 3<"$tmp/events"
}
exec 4<&0
start

event='' end=0
while IFS= read -r line <&3 || [ -n "$line" ]; do
	case $line in
	'event: '*) event=${line#event: } ;;
	'id: '*) end=${line#id: } ;;
	'data: '*)
		data=${line#data: }
		case $event in
		session)
			# Only the host key can have signed an answer to this very token.
			proof=$(printf '%s' "$data" | member token)
			printf '%s' "${proof%.*}" >"$tmp/proof"
			printf '%s' "${proof##*.}" | unb64 >"$tmp/proof.sig"
			openssl pkeyutl -verify -pubin -inkey "$tmp/host.pub" -rawin -in "$tmp/proof" -sigfile "$tmp/proof.sig" >/dev/null 2>&1 ||
				die "the session is not signed by the agent's host key"
			told=$(printf '%s' "$proof" | cut -d. -f2 | unb64 | member iat)
			clock=$((${told%.*} - $(date +%s)))
			oth=$(printf '%s' "$proof" | cut -d. -f2 | unb64 | member oth)
			[ "$oth" = "$(printf '%s' "$open" | sha)" ] || die "the answer belongs to another open"
			type_all <&4 &
			;;
		stdout | stderr) printf '%s' "$data" | openssl base64 -d -A ;;
		notice) printf '%s\n' "$data" | member text >&2 ;;
		exit)
			code=$(printf '%s' "$data" | member code)
			printf '{"seq":1,"ack":%s}' "$end" >"$tmp/ack"
			post "/v1/sessions/$sid/control" "$tmp/ack" 1000000 >/dev/null
			exit "$code"
			;;
		esac
		;;
	'{'*)
		# A clock that is wrong, or a key that is slow, is asked to sign again.
		nonce=$(tr -d '\r' <"$tmp/headers" | sed -n 's/^[Ss]hellagent-[Nn]once: //p')
		if [ -n "$nonce" ] && [ -z "${again:-}" ]; then
			again=yes
			start "$nonce"
			continue
		fi
		die "$(printf '%s' "$line" | member detail)"
		;;
	esac
done
die "the stream ended without an exit"
