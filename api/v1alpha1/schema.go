package v1alpha1

import _ "embed"

//go:embed schema.json
var schemaJSON []byte

// Schema is the JSON Schema of cluster files, for editors, made of the types of this package (package schema).
func Schema() []byte { return schemaJSON }
