// Package config reads configuration files strictly and says exactly where a
// mistake is.
//
// A file is JSON with comments and trailing commas (JWCC). Unknown keys,
// duplicate keys, null, a second value and anything of the wrong type are
// errors; none is skipped, because a mistyped limit that is ignored is a limit
// that does not hold. The package knows no key of its own: it fills the caller's
// struct and turns errors into "file:line:column: what is wrong; remedy".
//
// What a value means is for the package that owns it to judge. Such an error
// carries a JSON pointer ([PointerError]), and [Locate] finds the place.
package config
