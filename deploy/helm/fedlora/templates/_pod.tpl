{{- /* What coordinators and workers have in common. */ -}}
{{- define "fedlora.pod" }}
      serviceAccountName: {{ .Release.Name }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      securityContext:
        runAsNonRoot: true
        runAsUser: 10001
        runAsGroup: 10001
        fsGroup: 10001
        fsGroupChangePolicy: OnRootMismatch
        seccompProfile: { type: RuntimeDefault }
      nodeSelector: {{ toJson .Values.nodeSelector }}
      tolerations: {{ toJson .Values.tolerations }}
      affinity: {{ toJson .Values.affinity }}
{{- end }}

{{- define "fedlora.container" }}
          image: {{ if .Values.image.digest }}{{ printf "%s@%s" .Values.image.repository .Values.image.digest | printf "%q" }}{{ else }}{{ printf "%s:%s" .Values.image.repository .Values.image.tag | printf "%q" }}{{ end }}
          imagePullPolicy: {{ .Values.image.pullPolicy }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: { drop: [ALL] }
{{- end }}

{{- /* Where contributions are, and Redis. */ -}}
{{- define "fedlora.env" }}
            - { name: FEDLORA_FEDERATION_KEY, value: {{ printf "%q" .Values.federationKey }} }
            {{- if .Values.redis.existingSecret }}
            - { name: FEDLORA_REDIS_URL, valueFrom: { secretKeyRef: { name: {{ .Values.redis.existingSecret }}, key: url } } }
            {{- end }}
            {{- with .Values.blobs }}{{ if .bucket }}
            - { name: FEDLORA_S3_BUCKET, value: {{ printf "%q" .bucket }} }
            - { name: FEDLORA_S3_REGION, value: {{ printf "%q" .region }} }
            - { name: FEDLORA_S3_ENDPOINT, value: {{ printf "%q" .endpoint }} }
            - { name: FEDLORA_S3_PREFIX, value: {{ printf "%q" .prefix }} }
            {{- if .existingSecret }}
            - { name: AWS_ACCESS_KEY_ID, valueFrom: { secretKeyRef: { name: {{ .existingSecret }}, key: accessKeyId } } }
            - { name: AWS_SECRET_ACCESS_KEY, valueFrom: { secretKeyRef: { name: {{ .existingSecret }}, key: secretAccessKey } } }
            {{- end }}{{ end }}{{ end }}
            {{- range $name, $value := .Values.env }}
            - { name: {{ $name }}, value: {{ printf "%q" $value }} }
            {{- end }}
{{- end }}

{{- /* Only what the coordinator has to know besides. */ -}}
{{- define "fedlora.coordinatorEnv" }}
            # Below the mount: of the mount itself the owner is root.
            - { name: FEDLORA_DATA, value: /var/lib/fedlora/coordinator }
            - { name: FEDLORA_TRUSTED_PROXIES, value: "{{ range $i, $one := .Values.trustedProxies }}{{ if $i }},{{ end }}{{ $one }}{{ end }}" }
            {{- if .Values.database.existingSecret }}
            - { name: FEDLORA_DATABASE_URL, valueFrom: { secretKeyRef: { name: {{ .Values.database.existingSecret }}, key: url } } }
            {{- end }}
            {{- if .Values.coordinatorKey.existingSecret }}
            - { name: FEDLORA_COORDINATOR_KEY_FILE, value: /etc/fedlora/coordinator.key }
            {{- end }}
{{- end }}
