// Package failpoint names the moments at which the broker and the front can be
// stopped, for tests that show that a session loses nothing there. Shipped
// binaries have none of it: without the build tag "failpoint", [Hit] is an empty
// function that the compiler leaves out.
package failpoint

// Point is a moment between two steps.
type Point string

// Points of the broker.
const (
	// OutputRead is output read from the program, in the space that the backlog
	// lent and not yet part of it.
	OutputRead Point = "broker/output-read"
	// OutputKept is output in the backlog that nobody was told of.
	OutputKept Point = "broker/output-kept"
	// FrameTaken is a frame of the backlog that is not on its way to the front.
	FrameTaken Point = "broker/frame-taken"
	// InputVerified is input whose token holds and which is not queued.
	InputVerified Point = "broker/input-verified"
	// InputQueued is input that is about to be written to the program.
	InputQueued Point = "broker/input-queued"
	// InputWritten is input that the program may have read and that still counts
	// as queued.
	InputWritten Point = "broker/input-written"
	// InputHeld is input that is the session's and whose answer is not on its
	// way: its client sends it again.
	InputHeld Point = "broker/input-held"
	// AckVerified and AckTaken are before and after what a control request says
	// counts, which is an acknowledgement more often than not.
	AckVerified Point = "broker/ack-verified"
	AckTaken    Point = "broker/ack-taken"
	// ProgramEnded is before the exit is part of the output, ExitKept after.
	ProgramEnded Point = "broker/program-ended"
	ExitKept     Point = "broker/exit-kept"
)

// Points of the front. Those of requests are hit with the request's target.
const (
	// RequestReceived is a request that the broker does not know of.
	RequestReceived Point = "front/request-received"
	// ReplyReceived is a reply of the broker that is not on its way to the client.
	ReplyReceived Point = "front/reply-received"
	// FramesReceived are frames of the broker, encoded and not written.
	FramesReceived Point = "front/frames-received"
	// FramesWritten are frames written and not flushed.
	FramesWritten Point = "front/frames-written"
)
