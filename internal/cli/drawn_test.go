package cli

func drawnProgram() {}
