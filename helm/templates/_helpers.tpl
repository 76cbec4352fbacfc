{{/* Name of the operator's objects. Fixed, because sidecars and admission refer to it; one installation per cluster. */}}
{{- define "chaperone.operator" -}}chaperone-operator{{- end -}}

{{- define "chaperone.labels" -}}
app.kubernetes.io/name: chaperone
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- with .Values.global.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Argument: root context and component. */}}
{{- define "chaperone.selector" -}}
app.kubernetes.io/name: chaperone
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Namespaces whose pods are governed. Chaperone's own and kube-system never are: they have to start before it. */}}
{{- define "chaperone.governed" -}}
matchLabels: {chaperone.dev/inject: enabled}
matchExpressions:
  - {key: kubernetes.io/metadata.name, operator: NotIn, values: [kube-system, {{ .Release.Namespace }}]}
{{- end -}}

{{/* Bindings of admission policies; a test compares them with those that are rendered. */}}
{{- define "chaperone.bindings" -}}
{{- range list "approval-decision" "approval-operator" "evidence-login" "namespace" "network-policies" "node-proxy" "pod-binding" "pod-connect" "pod-create" "pod-update" "services" "session-kill" "templates" "tokens" }}
- chaperone-{{ . }}
{{- end }}
{{- end -}}

{{/* Ways out of governed namespaces, as the operator reads them. Pods on the node's network are no pods to a NetworkPolicy. */}}
{{- define "chaperone.networkPolicy" -}}
{{- $of := dict "dns" .Values.networkPolicy.dns "cidrs" .Values.networkPolicy.cidrs -}}
{{- if not .Values.webhook.hostNetwork }}{{ $_ := set $of "operator" (include "chaperone.selector" (dict "root" . "component" "operator") | fromYaml) }}{{ end -}}
{{- if .Values.nats.install }}{{ $_ := set $of "nats" (include "chaperone.selector" (dict "root" . "component" "nats") | fromYaml) }}{{ end -}}
{{- with .Values.tracing.endpoint }}{{ $_ := set $of "traces" . }}{{ end -}}
{{- $of | toJson -}}
{{- end -}}

{{/* Who may open what people and Prometheus open: pods that are not governed, and whom the values name. */}}
{{- define "chaperone.visitors" -}}
- namespaceSelector: {matchExpressions: [{key: chaperone.dev/inject, operator: NotIn, values: [enabled]}]}
{{- range .Values.networkPolicy.parts.from }}
- {{ toJson . }}
{{- end }}
{{- end -}}

{{/* An image by tag or, where one is given, by digest. Argument: root context and image value. */}}
{{- define "chaperone.image" -}}
{{- $registry := .root.Values.global.imageRegistry -}}
{{- if $registry }}{{ $registry }}/{{ end }}{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ default .root.Chart.AppVersion .image.tag }}{{ end -}}
{{- end -}}

{{/* What Pod Security's "restricted" asks of a container. */}}
{{- define "chaperone.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}
{{- define "chaperone.podRestricted" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "chaperone.pullSecrets" -}}
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "chaperone.webhook" -}}chaperone-webhook{{- end -}}

{{- define "chaperone.natsUrl" -}}
{{- if .Values.nats.install -}}
tls://chaperone-nats.{{ .Release.Namespace }}.svc:4222
{{- else -}}
{{- required "nats.external.url is needed where nats.install is false" .Values.nats.external.url -}}
{{- end -}}
{{- end -}}

{{/* The page where people decide with a signature, as the operator reads it; secrets are files of the volume "decide". */}}
{{- define "chaperone.decide" -}}
{{- with .Values.operator.decide -}}
{{- $oidc := pick .oidc "issuer" "clientId" "scopes" "usernameClaim" "usernamePrefix" "groupsClaim" "groupsPrefix" -}}
{{- if .oidc.secretRef.name -}}{{- $_ := set $oidc "clientSecretFile" "/etc/chaperone/decide/client-secret" -}}{{- end -}}
{{- $decide := dict "url" .url "oidc" $oidc -}}
{{- if .tlsSecretName -}}
{{- $_ := set $decide "tls" (dict "certFile" "/etc/chaperone/decide/tls.crt" "keyFile" "/etc/chaperone/decide/tls.key") -}}
{{- end -}}
{{- toJson $decide -}}
{{- end -}}
{{- end -}}

{{/* Where credentials are kept beside Secrets, as the operator reads it. */}}
{{- define "chaperone.vault" -}}
{{- with .Values.operator.vault -}}
{{- $vault := dict "address" .address "auth" (pick .auth "mount" "role") "tokenFile" "/etc/chaperone/vault/token" "paths" .paths -}}
{{- if .namespace -}}{{- $_ := set $vault "namespace" .namespace -}}{{- end -}}
{{- if or .ca.secretName .ca.configMapName -}}{{- $_ := set $vault "caFile" "/etc/chaperone/vault/ca.crt" -}}{{- end -}}
{{- toJson $vault -}}
{{- end -}}
{{- end -}}

{{/* Where notices go, as the operator reads it; secrets are files of the volume "notify". */}}
{{- define "chaperone.notify" -}}
{{- $webhooks := list -}}
{{- range $index, $webhook := .Values.notify.webhooks -}}
{{- $webhooks = append $webhooks (dict "url" $webhook.url "secretFile" (printf "/etc/chaperone/notify/webhook-%d" $index)) -}}
{{- end -}}
{{- $notify := dict "webhooks" $webhooks -}}
{{- with .Values.notify.slack -}}
{{- if .channel -}}
{{- $files := dict "tokenFile" "/etc/chaperone/notify/slack-token" "signingSecretFile" "/etc/chaperone/notify/slack-signing-secret" -}}
{{- $_ := set $notify "slack" (merge $files (pick . "channel" "team" "consoleUrl" "user" "groups")) -}}
{{- end -}}
{{- end -}}
{{- toJson $notify -}}
{{- end -}}

{{/* Who cosigns the log's checkpoints, and how many must: the lines of a C2SP tlog-policy behind the log's own. */}}
{{- /* The sinks as the collector reads them: each …SecretRef is the file at which it is mounted. */ -}}
{{- define "chaperone.sinks" -}}
{{- $sinks := list -}}
{{- range $sink := .Values.collector.sinks -}}
{{- $said := dict -}}
{{- range $key, $value := $sink -}}
{{- if kindIs "map" $value -}}
{{- $kind := dict -}}
{{- range $name, $each := $value -}}
{{- if hasSuffix "SecretRef" $name -}}
{{- $file := trimSuffix "SecretRef" $name -}}
{{- $_ := set $kind (printf "%sFile" $file) (printf "/etc/chaperone/sinks/%s/%s" $sink.name $file) -}}
{{- else -}}
{{- $_ := set $kind $name $each -}}
{{- end -}}
{{- end -}}
{{- $_ := set $said $key $kind -}}
{{- else -}}
{{- $_ := set $said $key $value -}}
{{- end -}}
{{- end -}}
{{- $sinks = append $sinks $said -}}
{{- end -}}
{{- dict "sinks" $sinks | toJson -}}
{{- end -}}

{{- define "chaperone.witnesses" -}}
{{- $names := list -}}
{{- range .Values.collector.log.witnesses -}}
{{- $names = append $names .name -}}
{{ printf "witness %s %s %s\n" .name .key .url }}
{{- end -}}
{{- if gt (int .Values.collector.log.quorum) 0 -}}
{{ printf "group quorum-of-witnesses %d %s\nquorum quorum-of-witnesses\n" (int .Values.collector.log.quorum) (join " " $names) }}
{{- else -}}
{{ printf "quorum none\n" }}
{{- end -}}
{{- end -}}
