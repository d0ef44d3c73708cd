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

{{- /* Restricted Pod Security. */ -}}
{{- define "tracepipe.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "tracepipe.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- /* In the whole cluster, because a namespace that is deleted may lose its Roles before its TracingPipelines: then nobody
could delete their IAM roles and let them go. */ -}}
{{- define "tracepipe.pipelineRules" -}}
- apiGroups: [tracepipe.dev]
  resources: [tracingpipelines]
  # patch: the finalizer, while there is an IAM role to be deleted.
  verbs: [get, list, watch, patch]
- apiGroups: [tracepipe.dev]
  resources: [tracingpipelines/status]
  verbs: [patch]
{{- end -}}

{{- /* The rules in a watched namespace; each verb is one that the operator uses. */ -}}
{{- define "tracepipe.rules" -}}
# Asked by API servers that guard owner references which block their owner's deletion; it lets write no spec.
- apiGroups: [tracepipe.dev]
  resources: [tracingpipelines/finalizers]
  verbs: [update]
- apiGroups: [apps]
  resources: [daemonsets]
  # delete: before the IAM role of a deleted TracingPipeline goes, its collectors do.
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services, serviceaccounts]
  verbs: [get, list, watch, create, patch]
# To prove, before pods start, that AWS gives them their role.
- apiGroups: [""]
  resources: [serviceaccounts/token]
  verbs: [create]
# The garbage collector deletes what a deleted TracingPipeline owned; only ConfigMaps of old configurations go before.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch, delete]
# Why pods do not start, for the status.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
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

{{- /* The operator's own way to AWS: variables, mounts and volumes under the names that EKS's webhook uses, which leaves a
pod alone that has them. */ -}}
{{- define "tracepipe.awsEnvironment" -}}
{{- $aws := .Values.aws }}
{{- $env := list }}
{{- with $aws.region }}{{ $env = append $env (dict "name" "AWS_REGION" "value" .) }}{{ end }}
{{- with $aws.operatorRoleArn }}
{{- $env = append $env (dict "name" "AWS_ROLE_ARN" "value" .) }}
{{- $env = append $env (dict "name" "AWS_WEB_IDENTITY_TOKEN_FILE" "value" "/var/run/secrets/eks.amazonaws.com/serviceaccount/token") }}
{{- end }}
{{- if $aws.clusterName }}
{{- /* The node's own role is not the operator's. */}}
{{- $env = append $env (dict "name" "AWS_EC2_METADATA_DISABLED" "value" "true") }}
{{- end }}
{{- with $aws.endpoints.sts }}{{ $env = append $env (dict "name" "AWS_ENDPOINT_URL_STS" "value" .) }}{{ end }}
{{- with $aws.endpoints.iam }}{{ $env = append $env (dict "name" "AWS_ENDPOINT_URL_IAM" "value" .) }}{{ end }}
{{- if $aws.caBundle }}
{{- $env = append $env (dict "name" "SSL_CERT_FILE" "value" "/etc/ssl/certs/ca-certificates.crt") }}
{{- $env = append $env (dict "name" "SSL_CERT_DIR" "value" "/etc/tracepipe/ca") }}
{{- end }}
{{- with $env }}{{ toYaml . }}{{ end }}
{{- end -}}

{{- define "tracepipe.awsMounts" -}}
{{- if .Values.aws.caBundle }}
- name: ca
  mountPath: /etc/tracepipe/ca
  readOnly: true
{{- end }}
{{- if .Values.aws.operatorRoleArn }}
- name: aws-iam-token
  mountPath: /var/run/secrets/eks.amazonaws.com/serviceaccount
  readOnly: true
{{- end }}
{{- end -}}

{{- define "tracepipe.awsVolumes" -}}
{{- if .Values.aws.caBundle }}
- name: ca
  configMap:
    name: {{ include "tracepipe.name" . }}-ca
{{- end }}
{{- if .Values.aws.operatorRoleArn }}
- name: aws-iam-token
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken:
          audience: sts.amazonaws.com
          expirationSeconds: 86400
          path: token
{{- end }}
{{- end -}}
