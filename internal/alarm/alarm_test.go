package alarm

import (
	"testing"
	"time"
)

// both are an alarm as New makes it, and one of a system without anything better.
func both() map[string]func() *Alarm {
	return map[string]func() *Alarm{
		"exact": New,
		"plain": NewPlain,
	}
}

func TestAlarmNeverGoesOffEarly(t *testing.T) {
	for name, make := range both() {
		t.Run(name, func(t *testing.T) {
			a := make()
			defer a.Close()
			for _, d := range []time.Duration{-time.Second, 0, 300 * time.Microsecond, 5 * time.Millisecond} {
				at := time.Now().Add(d)
				a.Set(at)
				if !a.Wait() || time.Now().Before(at) {
					t.Errorf("%v: it went off before its time", d)
				}
			}
		})
	}
}

func TestAlarmIsSetAgainWhileSomebodyWaits(t *testing.T) {
	for name, make := range both() {
		t.Run(name, func(t *testing.T) {
			a := make()
			defer a.Close()
			a.Set(time.Now().Add(time.Hour))
			went := waiting(a)
			a.Set(time.Now())
			if !<-went {
				t.Error("it was closed")
			}
		})
	}
}

func TestClosedAlarmLetsGo(t *testing.T) {
	for name, make := range both() {
		t.Run(name, func(t *testing.T) {
			a := make()
			went := waiting(a)
			a.Close()
			a.Close()
			a.Set(time.Now())
			if <-went {
				t.Error("it went off")
			}
		})
	}
}

func waiting(a *Alarm) <-chan bool {
	went := make(chan bool, 1)
	go func() { went <- a.Wait() }()
	return went
}
