package main

import (
	"fmt"

	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// podOf returns the pod that an object describes, or nil.
func podOf(o *object) (*core.PodTemplateSpec, error) {
	decoded, _, err := scheme.Codecs.UniversalDeserializer().Decode(o.json, nil, nil)
	if runtime.IsNotRegisteredError(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	switch typed := decoded.(type) {
	case *apps.DaemonSet:
		return &typed.Spec.Template, nil
	case *apps.StatefulSet:
		return &typed.Spec.Template, nil
	case *apps.Deployment:
		return &typed.Spec.Template, nil
	case *batch.Job:
		return &typed.Spec.Template, nil
	case *core.Pod:
		return &core.PodTemplateSpec{ObjectMeta: typed.ObjectMeta, Spec: typed.Spec}, nil
	}
	return nil, nil
}

// checkPodSecurity returns what the Pod Security level forbids of an object, by the evaluator that the
// API server's admission plugin uses, in its latest version.
func checkPodSecurity(o *object, level api.Level) ([]string, error) {
	pod, err := podOf(o)
	if err != nil || pod == nil {
		return nil, err
	}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return nil, err
	}
	results := evaluator.EvaluatePod(
		api.LevelVersion{Level: level, Version: api.LatestVersion()}, &pod.ObjectMeta, &pod.Spec)
	var wrong []string
	for _, result := range results {
		if !result.Allowed {
			wrong = append(wrong, fmt.Sprintf("%s: %s", result.ForbiddenReason, result.ForbiddenDetail))
		}
	}
	return wrong, nil
}
