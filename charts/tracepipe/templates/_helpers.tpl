{{- define "tracepipe.name" -}}
{{- if contains "tracepipe" .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-tracepipe" (.Release.Name | trunc 42 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{- define "tracepipe.selectorLabels" -}}
app.kubernetes.io/name: tracepipe-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "tracepipe.labels" -}}
{{ include "tracepipe.selectorLabels" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: tracepipe
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "tracepipe.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "tracepipe.name" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- /* tracepipe.image (dict "image" .Values.image.operator "root" $): a digest goes before a tag. */ -}}
{{- define "tracepipe.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- /* The rules in a watched namespace; each verb is one that the operator uses. */ -}}
{{- define "tracepipe.rules" -}}
- apiGroups: [tracepipe.dev]
  resources: [tracingpipelines]
  verbs: [get, list, watch]
- apiGroups: [tracepipe.dev]
  resources: [tracingpipelines/status]
  verbs: [patch]
# Asked by API servers that guard owner references which block their owner's deletion; it lets write no spec.
- apiGroups: [tracepipe.dev]
  resources: [tracingpipelines/finalizers]
  verbs: [update]
- apiGroups: [apps]
  resources: [daemonsets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [services, serviceaccounts]
  verbs: [get, list, watch, create, patch]
# The garbage collector deletes what a deleted TracingPipeline owned; only ConfigMaps of old configurations go before.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch, delete]
# Why pods do not start, for the status.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [list]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{- /* tracepipe.ingress (dict "ports" (list ...) "from" (list ...)): nobody named is everybody. */ -}}
{{- define "tracepipe.ingress" -}}
- ports:
    {{- range .ports }}
    - protocol: TCP
      port: {{ . }}
    {{- end }}
  {{- with .from }}
  from:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
