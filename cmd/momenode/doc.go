// Momenode runs and inspects the nodes of a cluster.
//
// # A cluster on one machine
//
//	momenode doctor                            # what this machine lacks
//	momenode cluster --nodes 4 -- ./sor        # four nodes, four copies of sor
//	momenode cluster --nodes 4                 # four nodes, programs by hand
//
// Each node is a process of its own, "momenode start", and each copy of the
// program attaches to one of them. MOME_SOCKET names its socket, MOME_RANK and
// MOME_SIZE say which copy it is of how many, MOME_LOCAL how many of them run
// on this machine. Rank i is attached to node i, with --procs-per-node K to
// node i/K. The lines that the copies print carry their rank:
//
//	0| answer         verified
//
// The status is the worst of the copies', 128+n for one that signal n killed. A
// copy that fails is reported, and the others have --grace to end, since they
// may wait for it for ever; what is ended so does not count. The loss of a node
// is one line, and status 1:
//
//	momenode: node 1 died (signal: killed): the run is over
//
// A first ^C is passed on to the copies, a second one kills them. However
// cluster ends, nothing that it started stays: processes that copies have left
// behind are killed with them, even if cluster itself is killed by SIGKILL. Only
// what starts a session of its own escapes, and attached to a node not even that.
//
// With --dir the nodes' logs stay, in node0.log and so on, one run after the other,
// each of which begins with a line that says so; the sockets are there while the
// cluster runs, so that another shell can ask:
//
//	momenode cluster --nodes 4 --dir /tmp/c -- ./sor --iterations 10000 &
//	momenode status --socket /tmp/c/node0.sock --hottest 5
//
// With --trace DIR every node records what its managers do, and programs find
// the directory in MOME_HISTORY: one that calls mome.Record leaves there what it
// did to shared memory. "momenode trace" judges both afterwards:
//
//	momenode cluster --nodes 4 --trace run -- ./program
//	momenode trace check run
//
// # A cluster of many machines
//
// One node per machine. The first founds the cluster, for a number of nodes that
// is fixed from then on, and decides the fan-out, the slots, the transport and the
// base; the others join it by the founder's address.
//
//	a$ (umask 077; head -c 32 /dev/urandom | base64 > /etc/mome/token)   # and copy it
//	a$ momenode start --listen 10.0.0.1:7070 --nodes 3 --token-file /etc/mome/token
//	b$ momenode start --listen 10.0.0.2:7070 --join 10.0.0.1:7070 --token-file /etc/mome/token
//	c$ momenode start --listen 10.0.0.3:7070 --join 10.0.0.1:7070 --token-file /etc/mome/token
//
// They may be started in any order, and all at once. A node tries to reach the one
// that it is to join for up to --wait, five minutes, and its log says what it finds
// there: nobody listens, there is no route or no answer, what listens is not a node
// of Mome. A wrong token, a cluster that is complete, or a node that did not found
// it end the attempt at once. Then each says for whom it waits:
//
//	msg="node 0 has joined, waits for 1 of 3 nodes: 2 has not joined" joined="node 1 at 10.0.0.2:7070"
//
// with --json as lines {"state":"waiting", …, "waits":"…"}. Nodes are numbered in the
// order of joining, or as --node-id says, and with them the ranks of programs that
// are given none:
//
//	$ momenode start --listen $ADDRESS:7070 --join 10.0.0.1:7070 --node-id $SLURM_NODEID --token-file /etc/mome/token
//
// The base is the address at which every program maps the shared memory. From
// the default, 0x400000000000, there are 16 TiB for segments. Programs that were
// built with -fsanitize=thread or -fsanitize=memory, in C or C++, cannot map there:
// found their cluster with --base 0x550000000000, where every program has 341 GiB.
//
// With --memory a node never keeps more pages than that; the daemon's own tables,
// which status shows as its heap, and the programs come on top. A limit above the
// machine's memory, or above that of the node's control group, is refused. What has
// no room on a node goes to nodes that have some, or that have no limit. Where none
// has, loads and stores wait: status says how many, the log says so once, and they
// go on when a segment is removed or a node has room again. Prefault, WriteBack and
// Drop fail with ErrNoSpace instead, when no node has had room for --room-wait: all
// have said that they are full, and nothing has become free. The time that a busy
// machine takes to make room, or to answer, does not count.
//
// Nodes talk through one port each. --listen 0.0.0.0:7070 needs --advertise, the
// address at which the others find the node. Without a token a node stays on
// loopback. The token proves who belongs to the cluster; it does not encrypt:
// the network between the machines is trusted.
//
// The cluster's configuration is kept by the founder, in a temporary directory
// or in --dir, which it begins anew, or by an etcd that runs already: then every
// node says --etcd, and --nodes, and whichever comes first founds:
//
//	a$ momenode start --listen 10.0.0.1:7070 --nodes 3 --etcd http://10.0.0.9:2379 --token-file /etc/mome/token
//	b$ momenode start --listen 10.0.0.2:7070 --nodes 3 --etcd http://10.0.0.9:2379 --token-file /etc/mome/token
//	c$ momenode start --listen 10.0.0.3:7070 --nodes 3 --etcd http://10.0.0.9:2379 --token-file /etc/mome/token
//
// The founder keeps it in a process of its own, mome-store, which ends with it and
// which it starts again if it dies. The founder's directory needs 4 MiB to begin in and 1.5 MiB free for each change;
// start, cluster and doctor look for them. On a full disk, to create or remove a
// segment is an error that says what to free, and so does the founder's log; memory,
// locks and barriers go on, and with room again so do segments.
//
// The keys of a cluster are below /mome/NAME/, NAME being --cluster, or mome.
// When its nodes end, the last thing that they do is to say so there, and the
// same command lines found the next one. If all of them were killed, none could:
// then, and if you know that none of them runs any more,
//
//	etcdctl --endpoints=http://10.0.0.9:2379 del --prefix /mome/NAME/
//
// A node whose cluster was replaced by another ends. While the etcd is down,
// memory, locks and barriers go on; to create, remove or find a segment is an
// error that says why.
//
// Programs find their node by MOME_SOCKET, and so do status and segment, whose
// default is /run/mome/mome.sock. Root and the node's user may attach. A
// program is started on every machine. Its rank is the number of its node, and
// its size how many nodes there are, unless MOME_RANK and MOME_SIZE say
// something else, or a launcher does: the first of OMPI_COMM_WORLD_RANK,
// PMIX_RANK and SLURM_PROCID that is set is the rank. The size is then that of
// the same launcher: OMPI_COMM_WORLD_SIZE, PMIX_SIZE or SLURM_NTASKS.
//
//	a$ MOME_SOCKET=/run/mome/mome.sock ./app
//
// A unit for systemd:
//
//	[Service]
//	ExecStart=/usr/local/bin/momenode start --listen 10.0.0.2:7070 --join 10.0.0.1:7070 --token-file /etc/mome/token
//	RuntimeDirectory=mome
//	RuntimeDirectoryMode=0700
//	LimitNOFILE=65536
//
// # When something ends
//
// A node that gets SIGTERM or SIGINT leaves in order: if no program is running,
// the other nodes end with it, with status 0. A node that is lost, or that is
// stopped while programs run, ends the run on all nodes: programs are told, and
// killed if they do not end. Each of the other nodes says why in one line and
// ends with status 1. The one that was stopped ends with status 0, since it was
// asked to.
//
// A node of which nothing was heard for --repair counts as lost. Outages of up to
// five sixths of that are survived, however often there is one: programs wait, and
// nothing is lost. After two fifths every other node says in its log that the node
// is away and when the run would end, and then when it is back; "momenode status"
// shows it too. The founder's --repair is that of all nodes, and so is its
// --residence. As root, or with CAP_NET_ADMIN, a node also has the kernel look for
// the others' hardware addresses as soon as a network is back, not once a second.
//
// # What to look at
//
// "momenode status" asks all nodes. Of the segments: faults are what programs
// waited for; upgrades are stores to a page that was there to read; recalls are
// pages that others wanted. Pages that travel to and fro are among the hottest
// (--hottest 10): two nodes store to them in turn, perhaps to different bytes.
// Of the managers: requests by level. In a tree (--fanout less than the number
// of nodes) what a subtree serves itself is not among the root's. Of the nodes:
// the pages held and the daemon's heap.
//
// A program that does not go on waits for somebody, and "momenode status
// --locks --barriers" says for whom. Of each lock it says who has it, since
// when, and who waits for it. Of each barrier it says which parties have come,
// have not come, or have not even joined, with their nodes and processes.
//
// --json of every command prints the same for programs: numbers are numbers,
// and fields that are zero are there.
//
// # What a run leaves behind
//
// With --trace DIR every node records each step of the protocol, which slows it
// down by some microseconds per step. The recording of a run, that is the logs
// of all nodes in one directory, is then at hand for the commands of trace:
//
//	momenode cluster --nodes 4 --fanout 2 --trace run -- ./sor --rows 256
//	momenode trace validate run                      # is it the protocol that was model-checked?
//	momenode trace replay run                        # the core does it all again
//	momenode trace show run --page 15 | less -S      # what happened to a page
//	momenode trace show run --page 15 --html p.html  # the same as a diagram
//
// momenode trace --help lists all that there is.
//
// # Statuses
//
// 0 is well, 1 a failure, 2 a command line that cannot be; of cluster, those of
// the programs. A run that went well and whose trace or log could not be written is
// a failure too. Errors are one line on standard error:
//
//	momenode: what happened, to what: why; what to do
//
// # In this directory
//
// root.go has the list of commands; a command is a file of its name. family.go
// sees to it that no process outlives the command that started it. A child of
// cluster reports on a descriptor (--ready-fd), one line of JSON per state:
// waiting, for whom, joined, when its number is known, ready, failed, and incomplete,
// when it has ended as it should and its trace or its log lacks something.
package main
