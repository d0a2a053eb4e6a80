// Program checks tells what is wrong with rendered charts and with deployment files, by the libraries
// that their consumers are made of.
//
//	checks json FILE...              the objects of rendered charts as a JSON array
//	checks custom FILE...            kinds of cert-manager and the Prometheus operator, decoded strictly
//	checks pod-security LEVEL FILE... what the level (baseline, restricted) forbids of their pods
//	checks compose FILE [NAME=VALUE...]
//
// It exits with 1 if something is wrong, one line each, and with 2 if it could not look.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/pod-security-admission/api"
)

func run(arguments []string) (wrong []string, err error) {
	if len(arguments) < 2 {
		return nil, fmt.Errorf("checks: give json, custom, pod-security or compose, and files")
	}
	command, files := arguments[0], arguments[1:]
	if command == "compose" {
		if err := checkCompose(files[0], files[1:]); err != nil {
			return []string{err.Error()}, nil
		}
		return nil, nil
	}
	level := api.LevelRestricted
	if command == "pod-security" {
		if level, err = api.ParseLevel(files[0]); err != nil {
			return nil, err
		}
		files = files[1:]
	}
	objects, err := readObjects(files)
	if err != nil {
		return nil, err
	}
	all := []json.RawMessage{}
	for _, o := range objects {
		var found []string
		switch command {
		case "json":
			all = append(all, o.json)
		case "custom":
			found = checkCustom(o)
		case "pod-security":
			found, err = checkPodSecurity(o, level)
		default:
			err = fmt.Errorf("checks knows no command %q", command)
		}
		if err != nil {
			return nil, err
		}
		for _, each := range found {
			wrong = append(wrong, o.String()+": "+each)
		}
	}
	if command == "json" {
		return nil, json.NewEncoder(os.Stdout).Encode(all)
	}
	return wrong, nil
}

func main() {
	wrong, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	for _, each := range wrong {
		fmt.Println(each)
	}
	if len(wrong) > 0 {
		os.Exit(1)
	}
}
