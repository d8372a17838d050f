// Package fuzz holds the fuzz targets of the project. Each is a property of a
// rapid state machine that lives beside what it tests; here it is given to
// rapid.Check and to go test -fuzz. A failing input is committed under testdata
// with the fix.
package fuzz
