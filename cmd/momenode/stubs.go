package main

import "github.com/spf13/cobra"

func statusCommand() *cobra.Command  { return &cobra.Command{Use: "status"} }
func segmentCommand() *cobra.Command { return &cobra.Command{Use: "segment"} }
func doctorCommand() *cobra.Command  { return &cobra.Command{Use: "doctor"} }
