// Command check runs the model checker TLC over the specifications and
// compares what it finds with what spec/manifest.json and the mutants.txt
// files say.
//
//	go run ./spec/check [-class ci|nightly] [-only REGEX] [-json] [-jobs N] [-update]
//
// The class ci is what every change runs; nightly is everything. -only selects
// runs by name. The exit status is 0 if every run gave what was expected, else 1.
//
// # TLC
//
// spec/tlc finds TLC, which is kept in spec/.tlc, and runs it. Every run works on
// a copy of its folder with one worker and a fixed fingerprint, so that the
// counts repeat. Modules of other folders of spec/ are found by name. The whole
// output is kept in spec/.tlc/log.
//
// # Models: manifest.json
//
// The object "models" is a list, one row a line:
//
//		{"name": "frame/small", "folder": "frame", "module": "MCFrame",
//		 "cfg": "MCFrame_small.cfg", "class": "ci", "expect": "ok",
//		 "distinct": 123, "generated": 456, "depth": 7}
//
//	  - name: what the table shows and -only matches: folder/what.
//	  - folder: below spec/.
//	  - module: the one TLC starts with; default: the cfg's name up to "_".
//	  - cfg: its configuration.
//	  - class: ci or nightly.
//	  - expect: "ok", "deadlock", or "violation:NAME", NAME being the invariant
//	    or property that must fail (the reachability probes).
//	  - invariant: optional; one invariant that is checked besides those of the
//	    cfg, so that many probes share one cfg.
//	  - property: optional; the same for a temporal property.
//	  - deadlock: optional; true makes a state without a successor an error.
//	  - args: optional; further arguments of TLC.
//	  - distinct, generated, depth: the counts of a run that is "ok". A changed
//	    count is a failure; -update records the new one after a deliberate change.
//
// A cfg file MC*.cfg that no row names is a failure too. The table of README.md
// that says what is proven has a row for each model that is "ok", with the counts
// and the class of the manifest: -update writes them, and a test compares them.
//
// # Mutants: mutants.txt in a folder
//
// The format is that of internal/mutation, with further words in a block:
//
//		mutant  forget-wake
//		file    Frame.tla
//		model   frame/live
//		expect  FaultServedProp
//		class   ci
//		find
//		    /\ waiting' = waiting \ {p}
//		replace
//		    /\ UNCHANGED waiting
//		end
//
//	  - mutant: its name. The run is called folder/mutant/NAME, with @MODEL behind
//	    it if there are several models.
//	  - model: one or more names of manifest rows; each must kill the mutant.
//	  - nightly: optional; further ones, which do so in the class nightly only.
//	  - expect: one or more names of invariants or properties one of which must
//	    fail, "deadlock", or "any" of these. An error of evaluation kills nothing.
//	  - alone: optional; properties of which each must fail too, in a run of the
//	    first model that looks at no other: folder/mutant/NAME/PROPERTY. Else the
//	    first that fails hides them.
//	  - class: ci (default) or nightly.
//
// A mutant that TLC finds nothing wrong with has survived, and fails the run.
package main
