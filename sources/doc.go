// Package sources is policy: who may open which source, and what they get. It
// turns a configuration into an immutable [Policy] and a request into a
// [shell.Grant], or a [shell.Denied] that says exactly why not.
//
// # Which keys open a source
//
// A key opens a source when the source's own verifyKeys list it, or when the
// global verifyKeys or verifyKeysDir list it and its entry names no sources or
// names this one. Global keys are good for every source and a source's keys for
// that source alone, as in Etcha. Where no list has the key, the source's
// verifyCommands and then the global ones may vouch for it. They are asked again
// when such a key comes back to a session of its own.
//
// An empty list lets nobody in: without any key a source opens to nobody, and a
// source whose own verifyKeys are written as [] opens to no listed key, not even
// a global one. An entry with an empty list of sources or addresses opens
// nothing.
//
// A key stands for one subject (or for none) in the whole configuration, and is
// listed once among the entries that hold for a source: which limits apply to it
// is never a question of order.
//
// # What has to hold
//
// In this order: the source exists; the key is not revoked; a list has it or a
// command vouched for it; its entry has not expired and allows the address; the
// global jwtRule and the source's both hold; the source's user exists and is
// neither locked nor expired; the source allows the command and has the shell
// for it.
//
// # What may be asked
//
// A request asks for one [shell.Action], which its form alone tells. Allow says
// which a source takes; a written one denies what it leaves out. Rights that
// depend on who asks, on claims or on time are a jwtRule's, which knows the
// action. There is one question, [Policy.Decide], for whatever is opened, and it
// is asked again for what lives on: so a further action is a constant of package
// shell, a member of [shell.OpenRequest] that tells it apart, and a member of
// [Allow] with what bounds it. What its process keeps to is in the grant, as
// [shell.Files] and [shell.Forward] are, so that the broker sees when less is allowed.
package sources
