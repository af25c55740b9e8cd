package broker

func actFront([]string) int { return 0 }
