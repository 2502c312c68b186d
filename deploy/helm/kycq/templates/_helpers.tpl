{{- define "kycq.labels" -}}
app.kubernetes.io/name: kycq
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "kycq.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end }}

{{- /* The secrets of a component, by the setting that names the file. */}}
{{- define "kycq.secretFiles" -}}
{{- $s := .root.Values.secrets -}}
{{- $files := dict "KYCQ_REDIS_URL_FILE" $s.redisURL -}}
{{- if eq .component "dashboard" -}}
{{- $_ := set $files "KYCQ_DASHBOARD_USERS_FILE" $s.dashboardUsers -}}
{{- if .values.operate -}}{{- /* changes enter the audit trail in S3 */ -}}
{{- $_ := set $files "AWS_SHARED_CREDENTIALS_FILE" $s.s3Credentials -}}
{{- end -}}
{{- else -}}
{{- $_ := set $files "KYCQ_KEYSET_FILE" $s.keyset -}}
{{- $_ := set $files "AWS_SHARED_CREDENTIALS_FILE" $s.s3Credentials -}}
{{- end -}}
{{- if eq .component "worker" -}}
{{- $_ := set $files "KYCQ_CASHFREE_CLIENT_SECRET_FILE" $s.cashfreeClientSecret -}}
{{- $_ := set $files "KYCQ_CASHFREE_PUBLIC_KEY_FILE" $s.cashfreePublicKey -}}
{{- end -}}
{{- toJson (merge $files (default dict .values.secretFiles)) -}}
{{- end }}

{{- /* A Deployment. Arguments: root, component, values, port, args. */}}
{{- define "kycq.deployment" -}}
{{- $secrets := include "kycq.secretFiles" . | fromJson -}}
{{- $settings := merge (dict "KYCQ_LISTEN" (printf "0.0.0.0:%v" .port)) .values.settings .root.Values.settings -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .root.Release.Name }}-{{ .component }}
  labels: {{- include "kycq.labels" . | nindent 4 }}
spec:
  replicas: {{ default 1 .values.replicas }}
  selector:
    matchLabels: {{- include "kycq.labels" . | nindent 6 }}
  template:
    metadata:
      labels: {{- include "kycq.labels" . | nindent 8 }}
      {{- with .values.podAnnotations }}
      annotations: {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ .root.Release.Name }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ default 60 .values.terminationGracePeriodSeconds }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        fsGroup: 65532
        seccompProfile: { type: RuntimeDefault }
      {{- with .root.Values.imagePullSecrets }}
      imagePullSecrets: {{- toYaml . | nindent 8 }}
      {{- end }}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {{- include "kycq.labels" . | nindent 14 }}
      {{- with .values.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .values.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ .component }}
          image: {{ include "kycq.image" .root | quote }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          args: {{ toJson .args }}
          env:
            {{- range $name, $value := $settings }}
            {{- if ne (toString $value) "" }}
            - { name: {{ $name }}, value: {{ toString $value | quote }} }
            {{- end }}
            {{- end }}
            {{- range $name, $secret := $secrets }}
            {{- if $secret.name }}
            - { name: {{ $name }}, value: {{ printf "/secrets/%s" $name | quote }} }
            {{- end }}
            {{- end }}
            {{- if .values.webhooksSecret }}
            - { name: KYCQ_WEBHOOKS_FILE, value: /webhooks/webhooks.yaml }
            {{- end }}
          ports:
            - { name: http, containerPort: {{ .port }} }
          livenessProbe:
            {{- include "kycq.probe" (dict "component" .component "path" "/livez") | nindent 12 }}
            failureThreshold: 6
          readinessProbe:
            {{- include "kycq.probe" (dict "component" .component "path" "/readyz") | nindent 12 }}
          resources: {{- toYaml .values.resources | nindent 12 }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: { drop: [ALL] }
          volumeMounts:
            - { name: tmp, mountPath: /tmp }
            - { name: secrets, mountPath: /secrets, readOnly: true }
            {{- if .values.webhooksSecret }}
            - { name: webhooks, mountPath: /webhooks, readOnly: true }
            {{- end }}
      volumes:
        {{- with .values.webhooksSecret }}
        - name: webhooks
          secret: { secretName: {{ . }}, defaultMode: 0440 }
        {{- end }}
        - name: tmp
          emptyDir: { sizeLimit: 1200Mi } # kycq serve keeps up to four manifests of 256 MiB
        - name: secrets
          projected:
            defaultMode: 0440
            sources:
              {{- range $name, $secret := $secrets }}
              {{- if $secret.name }}
              - secret:
                  name: {{ $secret.name }}
                  items: [{ key: {{ $secret.key | quote }}, path: {{ $name }} }]
              {{- end }}
              {{- end }}
{{- end }}

{{- define "kycq.probe" -}}
{{- if eq .component "worker" -}}
httpGet: { path: {{ .path }}, port: http }
{{- else -}}
exec: { command: [/kycq, healthcheck] }
{{- end }}
periodSeconds: 10
timeoutSeconds: 2
{{- end }}
