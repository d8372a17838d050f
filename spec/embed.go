// Package spec carries the specifications, so that a program can have the model
// checker judge something by them wherever it is installed. README.md describes
// the specifications.
package spec

import "embed"

// Modules are the TLA+ modules, each in the folder of its protocol.
//
//go:embed */*.tla
var Modules embed.FS

// POM pins the model checker for Maven.
//
//go:embed pom.xml
var POM []byte
