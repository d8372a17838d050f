// Package ndjson writes and reads logs: files of JSON values, one a line, that
// are only ever appended to. The first line is a header, which has the version
// of the format; what the others say is up to whoever writes them.
//
//	Writer, Log      records on their way to files           writer.go
//	Lines            the lines of a log, and where they are  lines.go
//	AppendString, …  what encoders of records share          append.go
//
// An append goes into a buffer, and a goroutine of the Writer writes. No record is
// ever dropped: a caller that outruns the disk waits. If the disk fails the log
// ends there, so that what is in the file is a prefix of what was appended.
//
// # Locks
//
//	Writer.writing  one drain at a time; held while a file is written
//	  Log.mu        the bytes that wait to be written; held for an append
package ndjson
