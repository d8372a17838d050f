// Package trace records what a node did, so that a run can be checked against
// the specification afterwards. README.md describes the format.
//
//	Recorder, Log       the events of a node, one file per shard   recorder.go
//	Step                the steps on a page's frame                step.go
//	SyncLog             those of its locks and barriers             synclog.go
//	Read, File, Record  the same files, checked                    read.go, recordline.go
//	Record.Protocol     whose action a record is                   protocol.go
//	Change              the configuration that a log tells of      configuration.go
//	Account, Manifest   what a node says of its logs in the end     manifest.go
//	OpenRun, Run, Event all logs of a run, merged                  merge.go
//	Run.Whole           that they are all that happened            whole.go
//
// Recording is off where the *Recorder or *Log is nil: the methods then return
// at once, without allocation or I/O. Where it is on, a call appends to a buffer
// and a goroutine of the recorder writes (impl/ndjson). Events are never lost to
// speed: a caller that outruns the disk waits.
//
// A Log is called under the lock of its shard, and takes that of its ndjson.Log.
package trace
