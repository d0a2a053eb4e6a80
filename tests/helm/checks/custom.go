package main

import (
	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	kjson "sigs.k8s.io/json"
)

// customTypes are the kinds that Kubernetes itself does not know, as their projects define them.
var customTypes = map[string]func() any{
	"cert-manager.io/v1/Certificate":          func() any { return &certmanager.Certificate{} },
	"cert-manager.io/v1/Issuer":               func() any { return &certmanager.Issuer{} },
	"monitoring.coreos.com/v1/ServiceMonitor": func() any { return &monitoring.ServiceMonitor{} },
	"monitoring.coreos.com/v1/PrometheusRule": func() any { return &monitoring.PrometheusRule{} },
}

// checkCustom returns what is wrong with objects of those kinds: fields that they do not have,
// values of another type. Other kinds are passed over.
func checkCustom(o *object) []string {
	empty, known := customTypes[o.kind.APIVersion+"/"+o.kind.Kind]
	if !known {
		return nil
	}
	strict, err := kjson.UnmarshalStrict(o.json, empty())
	if err != nil {
		return []string{err.Error()}
	}
	var wrong []string
	for _, each := range strict {
		wrong = append(wrong, each.Error())
	}
	return wrong
}
