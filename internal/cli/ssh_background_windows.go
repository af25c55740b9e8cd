package cli

import "errors"

func isBackground() bool { return false }

func holdBackground() {}

func inBackground() error {
	return errors.New("-f: a program cannot go to the background on Windows; start it with start /b")
}

func goToBackground() error { return nil }
