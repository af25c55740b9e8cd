// Package seal makes what an agent writes down provable: records are linked
// into a chain of hashes, and every link is signed by a seal key that the host
// key certifies. Whoever knows the host key finds any byte that was changed,
// removed, moved or cut off afterwards, on any machine and without a secret.
//
// What it cannot show: that whoever holds the seal key told the truth. Someone
// who took over the host's root can go on writing, and can write anew what was
// written since; what was copied away before is out of their reach.
//
// Nor when: a record's time is the word of who seals it, who can choose one within
// the certificate's twenty years. So times outside them are not told for damage. They would
// be found in what a host wrote whose clock was wrong, and in no forgery.
package seal
