// Command chart checks what a Helm chart renders, on standard input: each document must be an
// object of Kubernetes with no field that its type does not have. It is a module of its own,
// so that the types of Kubernetes are no dependency of authsync.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

func main() {
	if err := check(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

// types are those that the chart uses.
func types() map[metav1.TypeMeta]any {
	of := func(apiVersion, kind string) metav1.TypeMeta {
		return metav1.TypeMeta{APIVersion: apiVersion, Kind: kind}
	}
	return map[metav1.TypeMeta]any{
		of("v1", "ConfigMap"):                            &core.ConfigMap{},
		of("v1", "Service"):                              &core.Service{},
		of("apps/v1", "Deployment"):                      &apps.Deployment{},
		of("batch/v1", "Job"):                            &batch.Job{},
		of("policy/v1", "PodDisruptionBudget"):           &policy.PodDisruptionBudget{},
		of("autoscaling/v2", "HorizontalPodAutoscaler"):  &autoscaling.HorizontalPodAutoscaler{},
		of("networking.k8s.io/v1", "Ingress"):            &networking.Ingress{},
		of("networking.k8s.io/v1", "NetworkPolicy"):      &networking.NetworkPolicy{},
		of("monitoring.coreos.com/v1", "ServiceMonitor"): &monitoring.ServiceMonitor{},
		of("keda.sh/v1alpha1", "ScaledObject"):           &scaledObject{},
		of("keda.sh/v1alpha1", "TriggerAuthentication"):  &triggerAuthentication{},
	}
}

// scaledObject and triggerAuthentication have the fields of KEDA's types that the chart uses.
type scaledObject struct {
	metav1.TypeMeta
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     struct {
		ScaleTargetRef struct {
			Name string `json:"name"`
		} `json:"scaleTargetRef"`
		MinReplicaCount int32 `json:"minReplicaCount"`
		MaxReplicaCount int32 `json:"maxReplicaCount"`
		PollingInterval int32 `json:"pollingInterval"`
		CooldownPeriod  int32 `json:"cooldownPeriod"`
		Triggers        []struct {
			Type              string            `json:"type"`
			Metadata          map[string]string `json:"metadata"`
			AuthenticationRef struct {
				Name string `json:"name"`
			} `json:"authenticationRef"`
		} `json:"triggers"`
	} `json:"spec"`
}

type triggerAuthentication struct {
	metav1.TypeMeta
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     struct {
		SecretTargetRef []struct {
			Parameter string `json:"parameter"`
			Name      string `json:"name"`
			Key       string `json:"key"`
		} `json:"secretTargetRef"`
	} `json:"spec"`
}

// check reads all documents and prints which objects there are.
func check(in io.Reader, out io.Writer) error {
	found := 0
	for documents := utilyaml.NewYAMLReader(bufio.NewReader(in)); ; {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read the documents: %w", err)
		}
		var head struct {
			metav1.TypeMeta
			Metadata metav1.ObjectMeta `json:"metadata"`
		}
		if err := yaml.Unmarshal(document, &head); err != nil {
			return fmt.Errorf("read document %d: %w", found+1, err)
		}
		if head.Kind == "" {
			continue // only comments
		}
		found++
		object, known := types()[head.TypeMeta]
		if !known {
			return fmt.Errorf("%s %s is of no type that is known here: add it to types", head.Kind, head.Metadata.Name)
		}
		if err := decode(document, object); err != nil {
			return fmt.Errorf("%s %s: %w", head.Kind, head.Metadata.Name, err)
		}
		if err := consistent(object); err != nil {
			return fmt.Errorf("%s %s: %w", head.Kind, head.Metadata.Name, err)
		}
		fmt.Fprintln(out, head.Kind, head.Metadata.Name)
	}
	if found == 0 {
		return errors.New("there is no object")
	}
	return nil
}

// decode takes no field that the type does not have, nor one in another case, as the server does.
func decode(document []byte, object any) error {
	text, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return err
	}
	unknown, err := json.UnmarshalStrict(text, object)
	return errors.Join(append(unknown, err)...)
}

// consistent checks what the server refuses beyond types: a Deployment that does not select its
// own pods, and a mount of a volume that is not there. It also requires that pods may do nothing.
func consistent(object any) error {
	var pod core.PodTemplateSpec
	switch o := object.(type) {
	case *apps.Deployment:
		pod = o.Spec.Template
		for name, value := range o.Spec.Selector.MatchLabels {
			if pod.Labels[name] != value {
				return fmt.Errorf("its selector wants %s=%s, which its pods do not have", name, value)
			}
		}
	case *batch.Job:
		pod = o.Spec.Template
	default:
		return nil
	}
	volumes := map[string]bool{}
	for _, volume := range pod.Spec.Volumes {
		volumes[volume.Name] = true
	}
	security := pod.Spec.SecurityContext
	if security == nil || security.RunAsNonRoot == nil || !*security.RunAsNonRoot || security.SeccompProfile == nil {
		return errors.New("its pods may run as root, or without a filter of system calls")
	}
	for _, container := range pod.Spec.Containers {
		for _, mount := range container.VolumeMounts {
			if !volumes[mount.Name] {
				return fmt.Errorf("container %s mounts %s, which is no volume", container.Name, mount.Name)
			}
		}
		own := container.SecurityContext
		if own == nil || own.ReadOnlyRootFilesystem == nil || !*own.ReadOnlyRootFilesystem ||
			own.AllowPrivilegeEscalation == nil || *own.AllowPrivilegeEscalation || own.Capabilities == nil || len(own.Capabilities.Drop) == 0 {
			return fmt.Errorf("container %s has more rights than it needs", container.Name)
		}
	}
	return nil
}
