// Package share lets several runs of the client use one connection: a process,
// the holder, keeps it and the key that signs, and each run is a guest that
// reaches the holder through a Unix socket. It is what ssh calls connection
// multiplexing (ControlMaster, ControlPersist).
//
// The guest keeps all that is the person's: terminal, signals, standard streams
// and the exit code. What crosses the socket are a request to open a session,
// then its frames in one direction, and input, sizes and acknowledgements in the
// other. No descriptor crosses it, so that whatever becomes of the holder, the
// person's terminal is as the guest left it.
//
// A holder serves its own user only: the socket is in a directory of that user
// alone, and both ends ask the kernel who the other is.
//
// # What crosses the socket
//
// Each side begins with eight bytes that name the version; a guest that meets
// another version makes its own connection. Then messages follow each other: a
// byte that says which kind, four of length (big-endian), and as many of data.
// See [kind] for what there is.
package share
