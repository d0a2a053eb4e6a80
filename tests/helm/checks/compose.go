package main

import (
	"context"
	"fmt"

	"github.com/compose-spec/compose-go/v2/cli"
)

// checkCompose loads a compose file as `docker compose config` does: against the schema of the Compose
// specification, with its variables put in. It tells what memory each service may take.
func checkCompose(file string, environment []string) error {
	options, err := cli.NewProjectOptions([]string{file}, cli.WithEnv(environment),
		cli.WithResolvedPaths(true), cli.WithProfiles([]string{"*"}))
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	for name, service := range project.Services {
		fmt.Printf("%s mem_limit=%d\n", name, service.MemLimit)
	}
	return nil
}
