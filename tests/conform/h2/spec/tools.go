//go:build tools

// Package spec names h2spec, so that its modules are pinned by go.mod and go.sum beside it.
package spec

import _ "github.com/summerwind/h2spec/cmd/h2spec"
