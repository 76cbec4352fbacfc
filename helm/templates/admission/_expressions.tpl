{{/*
CEL of the place where a container's author wrote it. Containers that injection puts in front do not count.
Argument: a CEL expression of the container.
*/}}
{{- define "chaperone.cel.place" -}}
(object.spec.containers.exists(x, x.name == {{ . }}.name)
? 'spec.containers[' + string(object.spec.containers.map(x, x.name).indexOf({{ . }}.name)) + ']'
: 'spec.initContainers[' + string(variables.inits.filter(x, !(x.name in variables.names)).map(x, x.name).indexOf({{ . }}.name)) + ']')
{{- end -}}

{{/* One validation about containers: holds where the list is empty, and names its first. Argument: list (variable), code, and text before and after the place. */}}
{{- define "chaperone.cel.containers" -}}
{{- $first := printf "variables.%s[0]" .list -}}
- expression: "variables.{{ .list }}.size() == 0"
  reason: Forbidden
  message: "a container is refused [{{ .code }}]"
  messageExpression: >-
    'container "' + {{ $first }}.name + '": {{ .before }}' + {{ include "chaperone.cel.place" $first | nindent 4 | trim }} + '{{ .after }} [{{ .code }}]'
{{- end -}}

{{/* CEL list of strings. */}}
{{- define "chaperone.cel.strings" -}}
[{{ range $i, $text := . }}{{ if $i }}, {{ end }}'{{ $text }}'{{ end }}]
{{- end -}}

{{/* The rules for containers of agents that need no profile; shared by pods at creation and ephemeral containers. */}}
{{- define "chaperone.cel.unprivileged" -}}
has(c.securityContext) && c.securityContext.?allowPrivilegeEscalation.orValue(true) == false &&
c.securityContext.?privileged.orValue(false) == false && c.securityContext.?procMount.orValue('Default') == 'Default' &&
c.securityContext.?capabilities.?drop.orValue([]).exists(d, d == 'ALL') && c.securityContext.?capabilities.?add.orValue([]).size() == 0 &&
c.securityContext.?seccompProfile.?type.orValue(variables.podSeccomp) in ['RuntimeDefault', 'Localhost'] &&
c.securityContext.?appArmorProfile.?type.orValue(variables.podAppArmor) != 'Unconfined' && !has(c.securityContext.seLinuxOptions)
{{- end -}}

{{/* Whether a probe or a hook of container c names a host: the kubelet would dial it from the node, past every rule of the pod. */}}
{{- define "chaperone.cel.dials" -}}
[c.?startupProbe.?httpGet.?host, c.?startupProbe.?tcpSocket.?host, c.?readinessProbe.?httpGet.?host, c.?readinessProbe.?tcpSocket.?host,
c.?livenessProbe.?httpGet.?host, c.?livenessProbe.?tcpSocket.?host, c.?lifecycle.?postStart.?httpGet.?host, c.?lifecycle.?postStart.?tcpSocket.?host,
c.?lifecycle.?preStop.?httpGet.?host, c.?lifecycle.?preStop.?tcpSocket.?host].exists(h, h.orValue('') != '')
{{- end -}}

{{/* The same about containers of a template: variables.path is where its pod's spec begins. */}}
{{- define "chaperone.cel.template" -}}
{{- $first := printf "variables.%s[0]" .list -}}
- expression: "variables.{{ .list }}.size() == 0"
  message: "pods of this template will be refused [{{ .code }}]"
  messageExpression: >-
    '{{ .before }}' + variables.path + (variables.pod.containers.exists(x, x.name == {{ $first }}.name)
    ? 'containers[' + string(variables.pod.containers.map(x, x.name).indexOf({{ $first }}.name)) + ']'
    : 'initContainers[' + string(variables.inits.map(x, x.name).indexOf({{ $first }}.name)) + ']') + '{{ .after }} [{{ .code }}]'
{{- end -}}
