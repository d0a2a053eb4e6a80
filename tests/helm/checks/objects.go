package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

// object is one Kubernetes object of a rendered chart.
type object struct {
	file string // Where it was rendered to.
	json []byte
	kind struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Name string `json:"name"`
		} `json:"metadata"`
	}
}

func (o *object) String() string {
	return fmt.Sprintf("%s: %s %s", o.file, o.kind.Kind, o.kind.Metadata.Name)
}

// readObjects reads every YAML document of the files. "-" is standard input.
func readObjects(files []string) ([]*object, error) {
	var objects []*object
	for _, file := range files {
		text, err := readFile(file)
		if err != nil {
			return nil, err
		}
		for _, document := range bytes.Split(append([]byte("\n"), text...), []byte("\n---")) {
			found := &object{file: filepath.Base(file)}
			if found.json, err = yaml.YAMLToJSONStrict(document); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			if string(found.json) == "null" {
				continue // Comments alone.
			}
			if err := yaml.Unmarshal(found.json, &found.kind); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			if found.kind.Kind == "" {
				return nil, fmt.Errorf("%s: a document without a kind", file)
			}
			objects = append(objects, found)
		}
	}
	return objects, nil
}

func readFile(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(name)
}
