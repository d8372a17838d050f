// Momenode runs and inspects the nodes of a cluster.
package main
