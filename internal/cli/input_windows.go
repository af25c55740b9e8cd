package cli

import "os"

// poll cannot look into a pipe without taking from it.
func poll(*os.File) inputState { return inputLater }
