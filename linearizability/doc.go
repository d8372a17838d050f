// Package linearizability judges histories: what the clients of a shared memory
// have called and what they were answered. README.md explains what each checker
// decides, and why.
//
//	Read, History, Operation   the histories of a run put together      history.go
//	Check, Report, Result      words and locks judged one by one        check.go
//	byValues                   the states of a word by their values     chain.go
//	byFences                   the turns of a lock by their fences      lock.go
//	inOrder                    states whose order is known              order.go
//	arrange                    refused operations among blocks          arrange.go
//	zones                      states whose order is not known          zone.go
//	Register, …, Lock, Name    sequential specifications for Porcupine  model.go
//	window                     the part that a picture shows            window.go
package linearizability
