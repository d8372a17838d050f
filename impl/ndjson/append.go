package ndjson

import (
	"encoding/json"
	"strconv"
)

// AppendString appends a string of JSON.
func AppendString(b []byte, s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil {
		panic(err) // there is no string without a JSON encoding
	}
	return append(b, quoted...)
}

// AppendUint appends a field, whose key comes with its comma, quotes and colon.
// A zero is left out.
func AppendUint(b []byte, key string, v uint64) []byte {
	if v == 0 {
		return b
	}
	b = append(b, key...)
	return strconv.AppendUint(b, v, 10)
}
