// Package fanout runs one thing on many targets and shows what they print: who is
// next ([Plan]), whose line a line is ([Lines]), whose output stands together
// ([Groups]), and both for programs ([Events]). It knows neither agents nor
// sessions: what is done with a target is a function.
package fanout
