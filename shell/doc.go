// Package shell is the session: one program, its output kept by offset until
// it is acknowledged, its input taken by offset, and its exit told once.
//
// The package knows nothing of HTTP, tokens, ptys or users. It imports the
// standard library only, so that everything that moves a byte of a session can
// be read, raced and modelled here. What it needs of the host it declares as
// [Program]; what policy allows it is told as a [Grant].
//
// Output offsets count bytes over standard output and standard error together,
// from zero; the exit occupies one offset after the last byte. Input offsets
// count bytes of standard input, from zero.
package shell
