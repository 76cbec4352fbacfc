// Written by sidecar/test/kubernetes-peers from the types of k8s.io/api 0.34.4; see protobuf.ts for how to read it.

/** A kind a line: apiVersion, kind, and the line of its message, from 0. */
export const KINDS = `
v1 Binding 0
v1 ComponentStatus 5
v1 ConfigMap 7
v1 DeleteOptions 8
v1 Endpoints 10
v1 Event 14
v1 LimitRange 17
v1 Namespace 20
v1 Node 24
v1 NodeProxyOptions 42
v1 PersistentVolume 43
v1 PersistentVolumeClaim 74
v1 Pod 84
v1 PodAttachOptions 190
v1 PodExecOptions 191
v1 PodLogOptions 192
v1 PodPortForwardOptions 193
v1 PodProxyOptions 194
v1 PodStatusResult 195
v1 PodTemplate 196
v1 RangeAllocation 198
v1 ReplicationController 199
v1 ResourceQuota 203
v1 Secret 208
v1 SerializedReference 209
v1 Service 210
v1 ServiceAccount 220
v1 ServiceProxyOptions 221
admissionregistration.k8s.io/v1 MutatingWebhookConfiguration 222
admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy 229
admissionregistration.k8s.io/v1 ValidatingAdmissionPolicyBinding 240
admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration 243
admissionregistration.k8s.io/v1alpha1 MutatingAdmissionPolicy 245
admissionregistration.k8s.io/v1alpha1 MutatingAdmissionPolicyBinding 255
admissionregistration.k8s.io/v1alpha1 ValidatingAdmissionPolicy 258
admissionregistration.k8s.io/v1alpha1 ValidatingAdmissionPolicyBinding 265
admissionregistration.k8s.io/v1beta1 MutatingAdmissionPolicy 267
admissionregistration.k8s.io/v1beta1 MutatingAdmissionPolicyBinding 277
admissionregistration.k8s.io/v1beta1 MutatingWebhookConfiguration 280
admissionregistration.k8s.io/v1beta1 ValidatingAdmissionPolicy 284
admissionregistration.k8s.io/v1beta1 ValidatingAdmissionPolicyBinding 291
admissionregistration.k8s.io/v1beta1 ValidatingWebhookConfiguration 293
apps/v1 ControllerRevision 295
apps/v1 DaemonSet 296
apps/v1 Deployment 302
apps/v1 ReplicaSet 308
apps/v1 StatefulSet 312
apps/v1beta1 ControllerRevision 320
apps/v1beta1 Deployment 321
apps/v1beta1 DeploymentRollback 328
apps/v1beta1 Scale 329
apps/v1beta1 StatefulSet 332
apps/v1beta2 ControllerRevision 340
apps/v1beta2 DaemonSet 341
apps/v1beta2 Deployment 347
apps/v1beta2 ReplicaSet 353
apps/v1beta2 Scale 357
apps/v1beta2 StatefulSet 360
authentication.k8s.io/v1 SelfSubjectReview 368
authentication.k8s.io/v1 TokenRequest 371
authentication.k8s.io/v1 TokenReview 375
authentication.k8s.io/v1alpha1 SelfSubjectReview 378
authentication.k8s.io/v1beta1 SelfSubjectReview 380
authentication.k8s.io/v1beta1 TokenReview 382
authorization.k8s.io/v1 LocalSubjectAccessReview 386
authorization.k8s.io/v1 SelfSubjectAccessReview 394
authorization.k8s.io/v1 SelfSubjectRulesReview 396
authorization.k8s.io/v1 SubjectAccessReview 401
authorization.k8s.io/v1beta1 LocalSubjectAccessReview 402
authorization.k8s.io/v1beta1 SelfSubjectAccessReview 407
authorization.k8s.io/v1beta1 SelfSubjectRulesReview 409
authorization.k8s.io/v1beta1 SubjectAccessReview 414
autoscaling/v1 HorizontalPodAutoscaler 415
autoscaling/v1 Scale 419
autoscaling/v2 HorizontalPodAutoscaler 422
autoscaling/v2beta1 HorizontalPodAutoscaler 445
autoscaling/v2beta2 HorizontalPodAutoscaler 462
batch/v1 CronJob 485
batch/v1 Job 496
batch/v1beta1 CronJob 500
certificates.k8s.io/v1 CertificateSigningRequest 504
certificates.k8s.io/v1alpha1 ClusterTrustBundle 508
certificates.k8s.io/v1alpha1 PodCertificateRequest 510
certificates.k8s.io/v1beta1 CertificateSigningRequest 513
certificates.k8s.io/v1beta1 ClusterTrustBundle 517
coordination.k8s.io/v1 Lease 519
coordination.k8s.io/v1alpha2 LeaseCandidate 521
coordination.k8s.io/v1beta1 Lease 523
coordination.k8s.io/v1beta1 LeaseCandidate 525
discovery.k8s.io/v1 EndpointSlice 527
discovery.k8s.io/v1beta1 EndpointSlice 534
events.k8s.io/v1 Event 541
events.k8s.io/v1beta1 Event 543
extensions/v1beta1 DaemonSet 545
extensions/v1beta1 Deployment 551
extensions/v1beta1 DeploymentRollback 558
extensions/v1beta1 Ingress 559
extensions/v1beta1 NetworkPolicy 571
extensions/v1beta1 ReplicaSet 578
extensions/v1beta1 Scale 582
flowcontrol.apiserver.k8s.io/v1 FlowSchema 585
flowcontrol.apiserver.k8s.io/v1 PriorityLevelConfiguration 598
flowcontrol.apiserver.k8s.io/v1beta1 FlowSchema 606
flowcontrol.apiserver.k8s.io/v1beta1 PriorityLevelConfiguration 619
flowcontrol.apiserver.k8s.io/v1beta2 FlowSchema 627
flowcontrol.apiserver.k8s.io/v1beta2 PriorityLevelConfiguration 640
flowcontrol.apiserver.k8s.io/v1beta3 FlowSchema 648
flowcontrol.apiserver.k8s.io/v1beta3 PriorityLevelConfiguration 661
internal.apiserver.k8s.io/v1alpha1 StorageVersion 669
networking.k8s.io/v1 IPAddress 674
networking.k8s.io/v1 Ingress 677
networking.k8s.io/v1 IngressClass 691
networking.k8s.io/v1 NetworkPolicy 694
networking.k8s.io/v1 ServiceCIDR 701
networking.k8s.io/v1beta1 IPAddress 704
networking.k8s.io/v1beta1 Ingress 707
networking.k8s.io/v1beta1 IngressClass 719
networking.k8s.io/v1beta1 ServiceCIDR 722
node.k8s.io/v1 RuntimeClass 725
node.k8s.io/v1alpha1 RuntimeClass 728
node.k8s.io/v1beta1 RuntimeClass 732
policy/v1 Eviction 735
policy/v1 PodDisruptionBudget 736
policy/v1beta1 Eviction 739
policy/v1beta1 PodDisruptionBudget 740
rbac.authorization.k8s.io/v1 ClusterRole 743
rbac.authorization.k8s.io/v1 ClusterRoleBinding 746
rbac.authorization.k8s.io/v1 Role 749
rbac.authorization.k8s.io/v1 RoleBinding 750
rbac.authorization.k8s.io/v1alpha1 ClusterRole 751
rbac.authorization.k8s.io/v1alpha1 ClusterRoleBinding 754
rbac.authorization.k8s.io/v1alpha1 Role 757
rbac.authorization.k8s.io/v1alpha1 RoleBinding 758
rbac.authorization.k8s.io/v1beta1 ClusterRole 759
rbac.authorization.k8s.io/v1beta1 ClusterRoleBinding 762
rbac.authorization.k8s.io/v1beta1 Role 765
rbac.authorization.k8s.io/v1beta1 RoleBinding 766
resource.k8s.io/v1 DeviceClass 767
resource.k8s.io/v1 ResourceClaim 774
resource.k8s.io/v1 ResourceClaimTemplate 792
resource.k8s.io/v1 ResourceSlice 794
resource.k8s.io/v1alpha3 DeviceTaintRule 806
resource.k8s.io/v1beta1 DeviceClass 812
resource.k8s.io/v1beta1 ResourceClaim 819
resource.k8s.io/v1beta1 ResourceClaimTemplate 836
resource.k8s.io/v1beta1 ResourceSlice 838
resource.k8s.io/v1beta2 DeviceClass 851
resource.k8s.io/v1beta2 ResourceClaim 858
resource.k8s.io/v1beta2 ResourceClaimTemplate 876
resource.k8s.io/v1beta2 ResourceSlice 878
scheduling.k8s.io/v1 PriorityClass 890
scheduling.k8s.io/v1alpha1 PriorityClass 891
scheduling.k8s.io/v1beta1 PriorityClass 892
storage.k8s.io/v1 CSIDriver 893
storage.k8s.io/v1 CSINode 896
storage.k8s.io/v1 CSIStorageCapacity 900
storage.k8s.io/v1 StorageClass 901
storage.k8s.io/v1 VolumeAttachment 904
storage.k8s.io/v1 VolumeAttributesClass 909
storage.k8s.io/v1alpha1 CSIStorageCapacity 910
storage.k8s.io/v1alpha1 VolumeAttachment 911
storage.k8s.io/v1alpha1 VolumeAttributesClass 916
storage.k8s.io/v1beta1 CSIDriver 917
storage.k8s.io/v1beta1 CSINode 920
storage.k8s.io/v1beta1 CSIStorageCapacity 924
storage.k8s.io/v1beta1 StorageClass 925
storage.k8s.io/v1beta1 VolumeAttachment 926
storage.k8s.io/v1beta1 VolumeAttributesClass 931
storagemigration.k8s.io/v1alpha1 StorageVersionMigration 932
`;

/** A message a line: number, name in JSON (- where its fields are those of what holds it) and shape of each field. */
export const MESSAGES = `
1 metadata 1,2 target 4
1 name s,2 generateName s,3 namespace s,4 selfLink s,5 uid s,6 resourceVersion s,7 generation i,8 creationTimestamp t,9 deletionTimestamp t,10 deletionGracePeriodSeconds i,11 labels {s,12 annotations {s,13 ownerReferences [2,14 finalizers [s,17 managedFields [3
5 apiVersion s,1 kind s,3 name s,4 uid s,6 controller b,7 blockOwnerDeletion b
1 manager s,2 operation s,3 apiVersion s,4 time t,6 fieldsType s,7 fieldsV1 r,8 subresource s
1 kind s,2 namespace s,3 name s,4 uid s,5 apiVersion s,6 resourceVersion s,7 fieldPath s
1 metadata 1,2 conditions [6
1 type s,2 status s,3 message s,4 error s
1 metadata 1,4 immutable b,2 data {s,3 binaryData {y
1 gracePeriodSeconds i,2 preconditions 9,3 orphanDependents b,4 propagationPolicy s,5 dryRun [s,6 ignoreStoreReadErrorWithClusterBreakingPotential b
1 uid s,2 resourceVersion s
1 metadata 1,2 subsets [11
1 addresses [12,2 notReadyAddresses [12,3 ports [13
1 ip s,3 hostname s,4 nodeName s,2 targetRef 4
1 name s,2 port i,3 protocol s,4 appProtocol s
1 metadata 1,2 involvedObject 4,3 reason s,4 message s,5 source 15,6 firstTimestamp t,7 lastTimestamp t,8 count i,9 type s,10 eventTime m,11 series 16,12 action s,13 related 4,14 reportingComponent s,15 reportingInstance s
1 component s,2 host s
1 count i,2 lastObservedTime m
1 metadata 1,2 spec 18
1 limits [19
1 type s,2 max {q,3 min {q,4 default {q,5 defaultRequest {q,6 maxLimitRequestRatio {q
1 metadata 1,2 spec 21,3 status 22
1 finalizers [s
1 phase s,2 conditions [23
1 type s,2 status s,4 lastTransitionTime t,5 reason s,6 message s
1 metadata 1,2 spec 25,3 status 29
1 podCIDR s,7 podCIDRs [s,3 providerID s,4 unschedulable b,5 taints [26,6 configSource 27,2 externalID s
1 key s,2 value s,3 effect s,4 timeAdded t
2 configMap 28
1 namespace s,2 name s,3 uid s,4 resourceVersion s,5 kubeletConfigKey s
1 capacity {q,2 allocatable {q,3 phase s,4 conditions [30,5 addresses [31,6 daemonEndpoints 32,7 nodeInfo 34,8 images [36,9 volumesInUse [s,10 volumesAttached [37,11 config 38,12 runtimeHandlers [39,13 features 41
1 type s,2 status s,3 lastHeartbeatTime t,4 lastTransitionTime t,5 reason s,6 message s
1 type s,2 address s
1 kubeletEndpoint 33
1 Port i
1 machineID s,2 systemUUID s,3 bootID s,4 kernelVersion s,5 osImage s,6 containerRuntimeVersion s,7 kubeletVersion s,8 kubeProxyVersion s,9 operatingSystem s,10 architecture s,11 swap 35
1 capacity i
1 names [s,2 sizeBytes i
1 name s,2 devicePath s
1 assigned 27,2 active 27,3 lastKnownGood 27,4 error s
1 name s,2 features 40
1 recursiveReadOnlyMounts b,2 userNamespaces b
1 supplementalGroupsPolicy b
1 path s
1 metadata 1,2 spec 44,3 status 73
1 capacity {q,2 - 45,3 accessModes [s,4 claimRef 4,5 persistentVolumeReclaimPolicy s,6 storageClassName s,7 mountOptions [s,8 volumeMode s,9 nodeAffinity 69,10 volumeAttributesClassName s
1 gcePersistentDisk 46,2 awsElasticBlockStore 47,3 hostPath 48,4 glusterfs 49,5 nfs 50,6 rbd 51,7 iscsi 53,8 cinder 54,9 cephfs 55,10 fc 56,11 flocker 57,12 flexVolume 58,13 azureFile 59,14 vsphereVolume 60,15 quobyte 61,16 azureDisk 62,17 photonPersistentDisk 63,18 portworxVolume 64,19 scaleIO 65,20 local 66,21 storageos 67,22 csi 68
1 pdName s,2 fsType s,3 partition i,4 readOnly b
1 volumeID s,2 fsType s,3 partition i,4 readOnly b
1 path s,2 type s
1 endpoints s,2 path s,3 readOnly b,4 endpointsNamespace s
1 server s,2 path s,3 readOnly b
1 monitors [s,2 image s,3 fsType s,4 pool s,5 user s,6 keyring s,7 secretRef 52,8 readOnly b
1 name s,2 namespace s
1 targetPortal s,2 iqn s,3 lun i,4 iscsiInterface s,5 fsType s,6 readOnly b,7 portals [s,8 chapAuthDiscovery b,11 chapAuthSession b,10 secretRef 52,12 initiatorName s
1 volumeID s,2 fsType s,3 readOnly b,4 secretRef 52
1 monitors [s,2 path s,3 user s,4 secretFile s,5 secretRef 52,6 readOnly b
1 targetWWNs [s,2 lun i,3 fsType s,4 readOnly b,5 wwids [s
1 datasetName s,2 datasetUUID s
1 driver s,2 fsType s,3 secretRef 52,4 readOnly b,5 options {s
1 secretName s,2 shareName s,3 readOnly b,4 secretNamespace s
1 volumePath s,2 fsType s,3 storagePolicyName s,4 storagePolicyID s
1 registry s,2 volume s,3 readOnly b,4 user s,5 group s,6 tenant s
1 diskName s,2 diskURI s,3 cachingMode s,4 fsType s,5 readOnly b,6 kind s
1 pdID s,2 fsType s
1 volumeID s,2 fsType s,3 readOnly b
1 gateway s,2 system s,3 secretRef 52,4 sslEnabled b,5 protectionDomain s,6 storagePool s,7 storageMode s,8 volumeName s,9 fsType s,10 readOnly b
1 path s,2 fsType s
1 volumeName s,2 volumeNamespace s,3 fsType s,4 readOnly b,5 secretRef 4
1 driver s,2 volumeHandle s,3 readOnly b,4 fsType s,5 volumeAttributes {s,6 controllerPublishSecretRef 52,7 nodeStageSecretRef 52,8 nodePublishSecretRef 52,9 controllerExpandSecretRef 52,10 nodeExpandSecretRef 52
1 required 70
1 nodeSelectorTerms [71
1 matchExpressions [72,2 matchFields [72
1 key s,2 operator s,3 values [s
1 phase s,2 message s,3 reason s,4 lastPhaseTransitionTime t
1 metadata 1,2 spec 75,3 status 81
1 accessModes [s,4 selector 76,2 resources 78,3 volumeName s,5 storageClassName s,6 volumeMode s,7 dataSource 79,8 dataSourceRef 80,9 volumeAttributesClassName s
1 matchLabels {s,2 matchExpressions [77
1 key s,2 operator s,3 values [s
1 limits {q,2 requests {q
1 apiGroup s,2 kind s,3 name s
1 apiGroup s,2 kind s,3 name s,4 namespace s
1 phase s,2 accessModes [s,3 capacity {q,4 conditions [82,5 allocatedResources {q,7 allocatedResourceStatuses {s,8 currentVolumeAttributesClassName s,9 modifyVolumeStatus 83
1 type s,2 status s,3 lastProbeTime t,4 lastTransitionTime t,5 reason s,6 message s
1 targetVolumeAttributesClassName s,2 status s
1 metadata 1,2 spec 85,3 status 173
1 volumes [86,20 initContainers [120,2 containers [120,34 ephemeralContainers [153,3 restartPolicy s,4 terminationGracePeriodSeconds i,5 activeDeadlineSeconds i,6 dnsPolicy s,7 nodeSelector {s,8 serviceAccountName s,9 serviceAccount s,21 automountServiceAccountToken b,10 nodeName s,11 hostNetwork b,12 hostPID b,13 hostIPC b,27 shareProcessNamespace b,14 securityContext 155,15 imagePullSecrets [93,16 hostname s,17 subdomain s,18 affinity 157,19 schedulerName s,22 tolerations [164,23 hostAliases [165,24 priorityClassName s,25 priority i,26 dnsConfig 166,28 readinessGates [168,29 runtimeClassName s,30 enableServiceLinks b,31 preemptionPolicy s,32 overhead {q,33 topologySpreadConstraints [169,35 setHostnameAsFQDN b,36 os 170,37 hostUsers b,38 schedulingGates [171,39 resourceClaims [172,40 resources 130,41 hostnameOverride s
1 name s,2 - 87
1 hostPath 48,2 emptyDir 88,3 gcePersistentDisk 46,4 awsElasticBlockStore 47,5 gitRepo 89,6 secret 90,7 nfs 50,8 iscsi 92,9 glusterfs 94,10 persistentVolumeClaim 95,11 rbd 96,12 flexVolume 97,13 cinder 98,14 cephfs 99,15 flocker 57,16 downwardAPI 100,17 fc 56,18 azureFile 104,19 configMap 105,20 vsphereVolume 60,21 quobyte 61,22 azureDisk 62,23 photonPersistentDisk 63,26 projected 106,24 portworxVolume 64,25 scaleIO 114,27 storageos 115,28 csi 116,29 ephemeral 117,30 image 119
1 medium s,2 sizeLimit q
1 repository s,2 revision s,3 directory s
1 secretName s,2 items [91,3 defaultMode i,4 optional b
1 key s,2 path s,3 mode i
1 targetPortal s,2 iqn s,3 lun i,4 iscsiInterface s,5 fsType s,6 readOnly b,7 portals [s,8 chapAuthDiscovery b,11 chapAuthSession b,10 secretRef 93,12 initiatorName s
1 name s
1 endpoints s,2 path s,3 readOnly b
1 claimName s,2 readOnly b
1 monitors [s,2 image s,3 fsType s,4 pool s,5 user s,6 keyring s,7 secretRef 93,8 readOnly b
1 driver s,2 fsType s,3 secretRef 93,4 readOnly b,5 options {s
1 volumeID s,2 fsType s,3 readOnly b,4 secretRef 93
1 monitors [s,2 path s,3 user s,4 secretFile s,5 secretRef 93,6 readOnly b
1 items [101,2 defaultMode i
1 path s,2 fieldRef 102,3 resourceFieldRef 103,4 mode i
1 apiVersion s,2 fieldPath s
1 containerName s,2 resource s,3 divisor q
1 secretName s,2 shareName s,3 readOnly b
1 - 93,2 items [91,3 defaultMode i,4 optional b
1 sources [107,2 defaultMode i
1 secret 108,2 downwardAPI 109,3 configMap 110,4 serviceAccountToken 111,5 clusterTrustBundle 112,6 podCertificate 113
1 - 93,2 items [91,4 optional b
1 items [101
1 - 93,2 items [91,4 optional b
1 audience s,2 expirationSeconds i,3 path s
1 name s,2 signerName s,3 labelSelector 76,5 optional b,4 path s
1 signerName s,2 keyType s,3 maxExpirationSeconds i,4 credentialBundlePath s,5 keyPath s,6 certificateChainPath s
1 gateway s,2 system s,3 secretRef 93,4 sslEnabled b,5 protectionDomain s,6 storagePool s,7 storageMode s,8 volumeName s,9 fsType s,10 readOnly b
1 volumeName s,2 volumeNamespace s,3 fsType s,4 readOnly b,5 secretRef 93
1 driver s,2 readOnly b,3 fsType s,4 volumeAttributes {s,5 nodePublishSecretRef 93
1 volumeClaimTemplate 118
1 metadata 1,2 spec 75
1 reference s,2 pullPolicy s
1 name s,2 image s,3 command [s,4 args [s,5 workingDir s,6 ports [121,19 envFrom [122,7 env [125,8 resources 130,23 resizePolicy [132,24 restartPolicy s,25 restartPolicyRules [133,9 volumeMounts [135,21 volumeDevices [136,10 livenessProbe 137,11 readinessProbe 137,22 startupProbe 137,12 lifecycle 144,13 terminationMessagePath s,20 terminationMessagePolicy s,14 imagePullPolicy s,15 securityContext 147,16 stdin b,17 stdinOnce b,18 tty b
1 name s,2 hostPort i,3 containerPort i,4 protocol s,5 hostIP s
1 prefix s,2 configMapRef 123,3 secretRef 124
1 - 93,2 optional b
1 - 93,2 optional b
1 name s,2 value s,3 valueFrom 126
1 fieldRef 102,2 resourceFieldRef 103,3 configMapKeyRef 127,4 secretKeyRef 128,5 fileKeyRef 129
1 - 93,2 key s,3 optional b
1 - 93,2 key s,3 optional b
1 volumeName s,2 path s,3 key s,4 optional b
1 limits {q,2 requests {q,3 claims [131
1 name s,2 request s
1 resourceName s,2 restartPolicy s
1 action s,2 exitCodes 134
1 operator s,2 values [i
1 name s,2 readOnly b,7 recursiveReadOnly s,3 mountPath s,4 subPath s,5 mountPropagation s,6 subPathExpr s
1 name s,2 devicePath s
1 - 138,2 initialDelaySeconds i,3 timeoutSeconds i,4 periodSeconds i,5 successThreshold i,6 failureThreshold i,7 terminationGracePeriodSeconds i
1 exec 139,2 httpGet 140,3 tcpSocket 142,4 grpc 143
1 command [s
1 path s,2 port o,3 host s,4 scheme s,5 httpHeaders [141
1 name s,2 value s
1 port o,2 host s
1 port i,2 service s
1 postStart 145,2 preStop 145,3 stopSignal s
1 exec 139,2 httpGet 140,3 tcpSocket 142,4 sleep 146
1 seconds i
1 capabilities 148,2 privileged b,3 seLinuxOptions 149,10 windowsOptions 150,4 runAsUser i,8 runAsGroup i,5 runAsNonRoot b,6 readOnlyRootFilesystem b,7 allowPrivilegeEscalation b,9 procMount s,11 seccompProfile 151,12 appArmorProfile 152
1 add [s,2 drop [s
1 user s,2 role s,3 type s,4 level s
1 gmsaCredentialSpecName s,2 gmsaCredentialSpec s,3 runAsUserName s,4 hostProcess b
1 type s,2 localhostProfile s
1 type s,2 localhostProfile s
1 - 154,2 targetContainerName s
1 name s,2 image s,3 command [s,4 args [s,5 workingDir s,6 ports [121,19 envFrom [122,7 env [125,8 resources 130,23 resizePolicy [132,24 restartPolicy s,25 restartPolicyRules [133,9 volumeMounts [135,21 volumeDevices [136,10 livenessProbe 137,11 readinessProbe 137,22 startupProbe 137,12 lifecycle 144,13 terminationMessagePath s,20 terminationMessagePolicy s,14 imagePullPolicy s,15 securityContext 147,16 stdin b,17 stdinOnce b,18 tty b
1 seLinuxOptions 149,8 windowsOptions 150,2 runAsUser i,6 runAsGroup i,3 runAsNonRoot b,4 supplementalGroups [i,12 supplementalGroupsPolicy s,5 fsGroup i,7 sysctls [156,9 fsGroupChangePolicy s,10 seccompProfile 151,11 appArmorProfile 152,13 seLinuxChangePolicy s
1 name s,2 value s
1 nodeAffinity 158,2 podAffinity 160,3 podAntiAffinity 163
1 requiredDuringSchedulingIgnoredDuringExecution 70,2 preferredDuringSchedulingIgnoredDuringExecution [159
1 weight i,2 preference 71
1 requiredDuringSchedulingIgnoredDuringExecution [161,2 preferredDuringSchedulingIgnoredDuringExecution [162
1 labelSelector 76,2 namespaces [s,3 topologyKey s,4 namespaceSelector 76,5 matchLabelKeys [s,6 mismatchLabelKeys [s
1 weight i,2 podAffinityTerm 161
1 requiredDuringSchedulingIgnoredDuringExecution [161,2 preferredDuringSchedulingIgnoredDuringExecution [162
1 key s,2 operator s,3 value s,4 effect s,5 tolerationSeconds i
1 ip s,2 hostnames [s
1 nameservers [s,2 searches [s,3 options [167
1 name s,2 value s
1 conditionType s
1 maxSkew i,2 topologyKey s,3 whenUnsatisfiable s,4 labelSelector 76,5 minDomains i,6 nodeAffinityPolicy s,7 nodeTaintsPolicy s,8 matchLabelKeys [s
1 name s
1 name s
1 name s,3 resourceClaimName s,4 resourceClaimTemplateName s
17 observedGeneration i,1 phase s,2 conditions [174,3 message s,4 reason s,11 nominatedNodeName s,5 hostIP s,16 hostIPs [175,6 podIP s,12 podIPs [176,7 startTime t,10 initContainerStatuses [177,8 containerStatuses [177,9 qosClass s,13 ephemeralContainerStatuses [177,14 resize s,15 resourceClaimStatuses [187,18 extendedResourceClaimStatus 188
1 type s,7 observedGeneration i,2 status s,3 lastProbeTime t,4 lastTransitionTime t,5 reason s,6 message s
1 ip s
1 ip s
1 name s,2 state 178,3 lastState 178,4 ready b,5 restartCount i,6 image s,7 imageID s,8 containerID s,9 started b,10 allocatedResources {q,11 resources 130,12 volumeMounts [182,13 user 183,14 allocatedResourcesStatus [185,15 stopSignal s
1 waiting 179,2 running 180,3 terminated 181
1 reason s,2 message s
1 startedAt t
1 exitCode i,2 signal i,3 reason s,4 message s,5 startedAt t,6 finishedAt t,7 containerID s
1 name s,2 mountPath s,3 readOnly b,4 recursiveReadOnly s
1 linux 184
1 uid i,2 gid i,3 supplementalGroups [i
1 name s,2 resources [186
1 resourceID s,2 health s
1 name s,2 resourceClaimName s
1 requestMappings [189,2 resourceClaimName s
1 containerName s,2 resourceName s,3 requestName s
1 stdin b,2 stdout b,3 stderr b,4 tty b,5 container s
1 stdin b,2 stdout b,3 stderr b,4 tty b,5 container s,6 command [s
1 container s,2 follow b,3 previous b,4 sinceSeconds i,5 sinceTime t,6 timestamps b,7 tailLines i,8 limitBytes i,9 insecureSkipTLSVerifyBackend b,10 stream s
1 ports [i
1 path s
1 metadata 1,2 status 173
1 metadata 1,2 template 197
1 metadata 1,2 spec 85
1 metadata 1,2 range s,3 data y
1 metadata 1,2 spec 200,3 status 201
1 replicas i,4 minReadySeconds i,2 selector {s,3 template 197
1 replicas i,2 fullyLabeledReplicas i,4 readyReplicas i,5 availableReplicas i,3 observedGeneration i,6 conditions [202
1 type s,2 status s,3 lastTransitionTime t,4 reason s,5 message s
1 metadata 1,2 spec 204,3 status 207
1 hard {q,2 scopes [s,3 scopeSelector 205
1 matchExpressions [206
1 scopeName s,2 operator s,3 values [s
1 hard {q,2 used {q
1 metadata 1,5 immutable b,2 data {y,4 stringData {s,3 type s
1 reference 4
1 metadata 1,2 spec 211,3 status 215
1 ports [212,2 selector {s,3 clusterIP s,18 clusterIPs [s,4 type s,5 externalIPs [s,7 sessionAffinity s,8 loadBalancerIP s,9 loadBalancerSourceRanges [s,10 externalName s,11 externalTrafficPolicy s,12 healthCheckNodePort i,13 publishNotReadyAddresses b,14 sessionAffinityConfig 213,19 ipFamilies [s,17 ipFamilyPolicy s,20 allocateLoadBalancerNodePorts b,21 loadBalancerClass s,22 internalTrafficPolicy s,23 trafficDistribution s
1 name s,2 protocol s,6 appProtocol s,3 port i,4 targetPort o,5 nodePort i
1 clientIP 214
1 timeoutSeconds i
1 loadBalancer 216,2 conditions [219
1 ingress [217
1 ip s,2 hostname s,3 ipMode s,4 ports [218
1 port i,2 protocol s,3 error s
1 type s,2 status s,3 observedGeneration i,4 lastTransitionTime t,5 reason s,6 message s
1 metadata 1,2 secrets [4,3 imagePullSecrets [93,4 automountServiceAccountToken b
1 path s
1 metadata 1,2 webhooks [223
1 name s,2 clientConfig 224,3 rules [226,4 failurePolicy s,9 matchPolicy s,5 namespaceSelector 76,11 objectSelector 76,6 sideEffects s,7 timeoutSeconds i,8 admissionReviewVersions [s,10 reinvocationPolicy s,12 matchConditions [228
3 url s,1 service 225,2 caBundle y
1 namespace s,2 name s,3 path s,4 port i
1 operations [s,2 - 227
1 apiGroups [s,2 apiVersions [s,3 resources [s,4 scope s
1 name s,2 expression s
1 metadata 1,2 spec 230,3 status 237
1 paramKind 231,2 matchConstraints 232,3 validations [234,4 failurePolicy s,5 auditAnnotations [235,6 matchConditions [228,7 variables [236
1 apiVersion s,2 kind s
1 namespaceSelector 76,2 objectSelector 76,3 resourceRules [233,4 excludeResourceRules [233,7 matchPolicy s
1 resourceNames [s,2 - 226
1 expression s,2 message s,3 reason s,4 messageExpression s
1 key s,2 valueExpression s
1 name s,2 expression s
1 observedGeneration i,2 typeChecking 238,3 conditions [219
1 expressionWarnings [239
2 fieldRef s,3 warning s
1 metadata 1,2 spec 241
1 policyName s,2 paramRef 242,3 matchResources 232,4 validationActions [s
1 name s,2 namespace s,3 selector 76,4 parameterNotFoundAction s
1 metadata 1,2 webhooks [244
1 name s,2 clientConfig 224,3 rules [226,4 failurePolicy s,9 matchPolicy s,5 namespaceSelector 76,10 objectSelector 76,6 sideEffects s,7 timeoutSeconds i,8 admissionReviewVersions [s,11 matchConditions [228
1 metadata 1,2 spec 246
1 paramKind 247,2 matchConstraints 248,3 variables [250,4 mutations [251,5 failurePolicy s,6 matchConditions [254,7 reinvocationPolicy s
1 apiVersion s,2 kind s
1 namespaceSelector 76,2 objectSelector 76,3 resourceRules [249,4 excludeResourceRules [249,7 matchPolicy s
1 resourceNames [s,2 - 226
1 name s,2 expression s
2 patchType s,3 applyConfiguration 252,4 jsonPatch 253
1 expression s
1 expression s
1 name s,2 expression s
1 metadata 1,2 spec 256
1 policyName s,2 paramRef 257,3 matchResources 248
1 name s,2 namespace s,3 selector 76,4 parameterNotFoundAction s
1 metadata 1,2 spec 259,3 status 262
1 paramKind 247,2 matchConstraints 248,3 validations [260,4 failurePolicy s,5 auditAnnotations [261,6 matchConditions [254,7 variables [250
1 expression s,2 message s,3 reason s,4 messageExpression s
1 key s,2 valueExpression s
1 observedGeneration i,2 typeChecking 263,3 conditions [219
1 expressionWarnings [264
2 fieldRef s,3 warning s
1 metadata 1,2 spec 266
1 policyName s,2 paramRef 257,3 matchResources 248,4 validationActions [s
1 metadata 1,2 spec 268
1 paramKind 269,2 matchConstraints 270,3 variables [272,4 mutations [273,5 failurePolicy s,6 matchConditions [276,7 reinvocationPolicy s
1 apiVersion s,2 kind s
1 namespaceSelector 76,2 objectSelector 76,3 resourceRules [271,4 excludeResourceRules [271,7 matchPolicy s
1 resourceNames [s,2 - 226
1 name s,2 expression s
2 patchType s,3 applyConfiguration 274,4 jsonPatch 275
1 expression s
1 expression s
1 name s,2 expression s
1 metadata 1,2 spec 278
1 policyName s,2 paramRef 279,3 matchResources 270
1 name s,2 namespace s,3 selector 76,4 parameterNotFoundAction s
1 metadata 1,2 webhooks [281
1 name s,2 clientConfig 282,3 rules [226,4 failurePolicy s,9 matchPolicy s,5 namespaceSelector 76,11 objectSelector 76,6 sideEffects s,7 timeoutSeconds i,8 admissionReviewVersions [s,10 reinvocationPolicy s,12 matchConditions [276
3 url s,1 service 283,2 caBundle y
1 namespace s,2 name s,3 path s,4 port i
1 metadata 1,2 spec 285,3 status 288
1 paramKind 269,2 matchConstraints 270,3 validations [286,4 failurePolicy s,5 auditAnnotations [287,6 matchConditions [276,7 variables [272
1 expression s,2 message s,3 reason s,4 messageExpression s
1 key s,2 valueExpression s
1 observedGeneration i,2 typeChecking 289,3 conditions [219
1 expressionWarnings [290
2 fieldRef s,3 warning s
1 metadata 1,2 spec 292
1 policyName s,2 paramRef 279,3 matchResources 270,4 validationActions [s
1 metadata 1,2 webhooks [294
1 name s,2 clientConfig 282,3 rules [226,4 failurePolicy s,9 matchPolicy s,5 namespaceSelector 76,10 objectSelector 76,6 sideEffects s,7 timeoutSeconds i,8 admissionReviewVersions [s,11 matchConditions [276
1 metadata 1,2 data r,3 revision i
1 metadata 1,2 spec 297,3 status 300
1 selector 76,2 template 197,3 updateStrategy 298,4 minReadySeconds i,6 revisionHistoryLimit i
1 type s,2 rollingUpdate 299
1 maxUnavailable o,2 maxSurge o
1 currentNumberScheduled i,2 numberMisscheduled i,3 desiredNumberScheduled i,4 numberReady i,5 observedGeneration i,6 updatedNumberScheduled i,7 numberAvailable i,8 numberUnavailable i,9 collisionCount i,10 conditions [301
1 type s,2 status s,3 lastTransitionTime t,4 reason s,5 message s
1 metadata 1,2 spec 303,3 status 306
1 replicas i,2 selector 76,3 template 197,4 strategy 304,5 minReadySeconds i,6 revisionHistoryLimit i,7 paused b,9 progressDeadlineSeconds i
1 type s,2 rollingUpdate 305
1 maxUnavailable o,2 maxSurge o
1 observedGeneration i,2 replicas i,3 updatedReplicas i,7 readyReplicas i,4 availableReplicas i,5 unavailableReplicas i,9 terminatingReplicas i,6 conditions [307,8 collisionCount i
1 type s,2 status s,6 lastUpdateTime t,7 lastTransitionTime t,4 reason s,5 message s
1 metadata 1,2 spec 309,3 status 310
1 replicas i,4 minReadySeconds i,2 selector 76,3 template 197
1 replicas i,2 fullyLabeledReplicas i,4 readyReplicas i,5 availableReplicas i,7 terminatingReplicas i,3 observedGeneration i,6 conditions [311
1 type s,2 status s,3 lastTransitionTime t,4 reason s,5 message s
1 metadata 1,2 spec 313,3 status 318
1 replicas i,2 selector 76,3 template 197,4 volumeClaimTemplates [74,5 serviceName s,6 podManagementPolicy s,7 updateStrategy 314,8 revisionHistoryLimit i,9 minReadySeconds i,10 persistentVolumeClaimRetentionPolicy 316,11 ordinals 317
1 type s,2 rollingUpdate 315
1 partition i,2 maxUnavailable o
1 whenDeleted s,2 whenScaled s
1 start i
1 observedGeneration i,2 replicas i,3 readyReplicas i,4 currentReplicas i,5 updatedReplicas i,6 currentRevision s,7 updateRevision s,9 collisionCount i,10 conditions [319,11 availableReplicas i
1 type s,2 status s,3 lastTransitionTime t,4 reason s,5 message s
1 metadata 1,2 data r,3 revision i
1 metadata 1,2 spec 322,3 status 326
1 replicas i,2 selector 76,3 template 197,4 strategy 323,5 minReadySeconds i,6 revisionHistoryLimit i,7 paused b,8 rollbackTo 325,9 progressDeadlineSeconds i
1 type s,2 rollingUpdate 324
1 maxUnavailable o,2 maxSurge o
1 revision i
1 observedGeneration i,2 replicas i,3 updatedReplicas i,7 readyReplicas i,4 availableReplicas i,5 unavailableReplicas i,9 terminatingReplicas i,6 conditions [327,8 collisionCount i
1 type s,2 status s,6 lastUpdateTime t,7 lastTransitionTime t,4 reason s,5 message s
1 name s,2 updatedAnnotations {s,3 rollbackTo 325
1 metadata 1,2 spec 330,3 status 331
1 replicas i
1 replicas i,2 selector {s,3 targetSelector s
1 metadata 1,2 spec 333,3 status 338
1 replicas i,2 selector 76,3 template 197,4 volumeClaimTemplates [74,5 serviceName s,6 podManagementPolicy s,7 updateStrategy 334,8 revisionHistoryLimit i,9 minReadySeconds i,10 persistentVolumeClaimRetentionPolicy 336,11 ordinals 337
1 type s,2 rollingUpdate 335
1 partition i,2 maxUnavailable o
1 whenDeleted s,2 whenScaled s
1 start i
1 observedGeneration i,2 replicas i,3 readyReplicas i,4 currentReplicas i,5 updatedReplicas i,6 currentRevision s,7 updateRevision s,9 collisionCount i,10 conditions [339,11 availableReplicas i
1 type s,2 status s,3 lastTransitionTime t,4 reason s,5 message s
1 metadata 1,2 data r,3 revision i
1 metadata 1,2 spec 342,3 status 345
1 selector 76,2 template 197,3 updateStrategy 343,4 minReadySeconds i,6 revisionHistoryLimit i
1 type s,2 rollingUpdate 344
1 maxUnavailable o,2 maxSurge o
1 currentNumberScheduled i,2 numberMisscheduled i,3 desiredNumberScheduled i,4 numberReady i,5 observedGeneration i,6 updatedNumberScheduled i,7 numberAvailable i,8 numberUnavailable i,9 collisionCount i,10 conditions [346
1 type s,2 status s,3 lastTransitionTime t,4 reason s,5 message s
1 metadata 1,2 spec 348,3 status 351
1 replicas i,2 selector 76,3 template 197,4 strategy 349,5 minReadySeconds i,6 revisionHistoryLimit i,7 paused b,9 progressDeadlineSeconds i
1 type s,2 rollingUpdate 350
1 maxUnavailable o,2 maxSurge o
1 observedGeneration i,2 replicas i,3 updatedReplicas i,7 readyReplicas i,4 availableReplicas i,5 unavailableReplicas i,9 terminatingReplicas i,6 conditions [352,8 collisionCount i
1 type s,2 status s,6 lastUpdateTime t,7 lastTransitionTime t,4 reason s,5 message s
1 metadata 1,2 spec 354,3 status 355
1 replicas i,4 minReadySeconds i,2 selector 76,3 template 197
1 replicas i,2 fullyLabeledReplicas i,4 readyReplicas i,5 availableReplicas i,7 terminatingReplicas i,3 observedGeneration i,6 conditions [356
1 type s,2 status s,3 lastTransitionTime t,4 reason s,5 message s
1 metadata 1,2 spec 358,3 status 359
1 replicas i
1 replicas i,2 selector {s,3 targetSelector s
1 metadata 1,2 spec 361,3 status 366
1 replicas i,2 selector 76,3 template 197,4 volumeClaimTemplates [74,5 serviceName s,6 podManagementPolicy s,7 updateStrategy 362,8 revisionHistoryLimit i,9 minReadySeconds i,10 persistentVolumeClaimRetentionPolicy 364,11 ordinals 365
1 type s,2 rollingUpdate 363
1 partition i,2 maxUnavailable o
1 whenDeleted s,2 whenScaled s
1 start i
1 observedGeneration i,2 replicas i,3 readyReplicas i,4 currentReplicas i,5 updatedReplicas i,6 currentRevision s,7 updateRevision s,9 collisionCount i,10 conditions [367,11 availableReplicas i
1 type s,2 status s,3 lastTransitionTime t,4 reason s,5 message s
1 metadata 1,2 status 369
1 userInfo 370
1 username s,2 uid s,3 groups [s,4 extra {(s
1 metadata 1,2 spec 372,3 status 374
1 audiences [s,4 expirationSeconds i,3 boundObjectRef 373
1 kind s,2 apiVersion s,3 name s,4 uid s
1 token s,2 expirationTimestamp t
1 metadata 1,2 spec 376,3 status 377
1 token s,2 audiences [s
1 authenticated b,2 user 370,4 audiences [s,3 error s
1 metadata 1,2 status 379
1 userInfo 370
1 metadata 1,2 status 381
1 userInfo 370
1 metadata 1,2 spec 383,3 status 384
1 token s,2 audiences [s
1 authenticated b,2 user 385,4 audiences [s,3 error s
1 username s,2 uid s,3 groups [s,4 extra {(s
1 metadata 1,2 spec 387,3 status 393
1 resourceAttributes 388,2 nonResourceAttributes 392,3 user s,4 groups [s,5 extra {(s,6 uid s
1 namespace s,2 verb s,3 group s,4 version s,5 resource s,6 subresource s,7 name s,8 fieldSelector 389,9 labelSelector 391
1 rawSelector s,2 requirements [390
1 key s,2 operator s,3 values [s
1 rawSelector s,2 requirements [77
1 path s,2 verb s
1 allowed b,4 denied b,2 reason s,3 evaluationError s
1 metadata 1,2 spec 395,3 status 393
1 resourceAttributes 388,2 nonResourceAttributes 392
1 metadata 1,2 spec 397,3 status 398
1 namespace s
1 resourceRules [399,2 nonResourceRules [400,3 incomplete b,4 evaluationError s
1 verbs [s,2 apiGroups [s,3 resources [s,4 resourceNames [s
1 verbs [s,2 nonResourceURLs [s
1 metadata 1,2 spec 387,3 status 393
1 metadata 1,2 spec 403,3 status 406
1 resourceAttributes 404,2 nonResourceAttributes 405,3 user s,4 group [s,5 extra {(s,6 uid s
1 namespace s,2 verb s,3 group s,4 version s,5 resource s,6 subresource s,7 name s,8 fieldSelector 389,9 labelSelector 391
1 path s,2 verb s
1 allowed b,4 denied b,2 reason s,3 evaluationError s
1 metadata 1,2 spec 408,3 status 406
1 resourceAttributes 404,2 nonResourceAttributes 405
1 metadata 1,2 spec 410,3 status 411
1 namespace s
1 resourceRules [412,2 nonResourceRules [413,3 incomplete b,4 evaluationError s
1 verbs [s,2 apiGroups [s,3 resources [s,4 resourceNames [s
1 verbs [s,2 nonResourceURLs [s
1 metadata 1,2 spec 403,3 status 406
1 metadata 1,2 spec 416,3 status 418
1 scaleTargetRef 417,2 minReplicas i,3 maxReplicas i,4 targetCPUUtilizationPercentage i
1 kind s,2 name s,3 apiVersion s
1 observedGeneration i,2 lastScaleTime t,3 currentReplicas i,4 desiredReplicas i,5 currentCPUUtilizationPercentage i
1 metadata 1,2 spec 420,3 status 421
1 replicas i
1 replicas i,2 selector s
1 metadata 1,2 spec 423,3 status 436
1 scaleTargetRef 424,2 minReplicas i,3 maxReplicas i,4 metrics [425,5 behavior 433
1 kind s,2 name s,3 apiVersion s
1 type s,2 object 426,3 pods 429,4 resource 430,7 containerResource 431,5 external 432
1 describedObject 424,2 target 427,3 metric 428
1 type s,2 value q,3 averageValue q,4 averageUtilization i
1 name s,2 selector 76
1 metric 428,2 target 427
1 name s,2 target 427
1 name s,2 target 427,3 container s
1 metric 428,2 target 427
1 scaleUp 434,2 scaleDown 434
3 stabilizationWindowSeconds i,1 selectPolicy s,2 policies [435,4 tolerance q
1 type s,2 value i,3 periodSeconds i
1 observedGeneration i,2 lastScaleTime t,3 currentReplicas i,4 desiredReplicas i,5 currentMetrics [437,6 conditions [444
1 type s,2 object 438,3 pods 440,4 resource 441,7 containerResource 442,5 external 443
1 metric 428,2 current 439,3 describedObject 424
1 value q,2 averageValue q,3 averageUtilization i
1 metric 428,2 current 439
1 name s,2 current 439
1 name s,2 current 439,3 container s
1 metric 428,2 current 439
1 type s,2 status s,3 lastTransitionTime t,4 reason s,5 message s
1 metadata 1,2 spec 446,3 status 454
1 scaleTargetRef 447,2 minReplicas i,3 maxReplicas i,4 metrics [448
1 kind s,2 name s,3 apiVersion s
1 type s,2 object 449,3 pods 450,4 resource 451,7 containerResource 452,5 external 453
1 target 447,2 metricName s,3 targetValue q,4 selector 76,5 averageValue q
1 metricName s,2 targetAverageValue q,3 selector 76
1 name s,2 targetAverageUtilization i,3 targetAverageValue q
1 name s,2 targetAverageUtilization i,3 targetAverageValue q,4 container s
1 metricName s,2 metricSelector 76,3 targetValue q,4 targetAverageValue q
1 observedGeneration i,2 lastScaleTime t,3 currentReplicas i,4 desiredReplicas i,5 currentMetrics [455,6 conditions [461
1 type s,2 object 456,3 pods 457,4 resource 458,7 containerResource 459,5 external 460
1 target 447,2 metricName s,3 currentValue q,4 selector 76,5 averageValue q
1 metricName s,2 currentAverageValue q,3 selector 76
1 name s,2 currentAverageUtilization i,3 currentAverageValue q
1 name s,2 currentAverageUtilization i,3 currentAverageValue q,4 container s
1 metricName s,2 metricSelector 76,3 currentValue q,4 currentAverageValue q
1 type s,2 status s,3 lastTransitionTime t,4 reason s,5 message s
1 metadata 1,2 spec 463,3 status 476
1 scaleTargetRef 464,2 minReplicas i,3 maxReplicas i,4 metrics [465,5 behavior 473
1 kind s,2 name s,3 apiVersion s
1 type s,2 object 466,3 pods 469,4 resource 470,7 containerResource 471,5 external 472
1 describedObject 464,2 target 467,3 metric 468
1 type s,2 value q,3 averageValue q,4 averageUtilization i
1 name s,2 selector 76
1 metric 468,2 target 467
1 name s,2 target 467
1 name s,2 target 467,3 container s
1 metric 468,2 target 467
1 scaleUp 474,2 scaleDown 474
3 stabilizationWindowSeconds i,1 selectPolicy s,2 policies [475
1 type s,2 value i,3 periodSeconds i
1 observedGeneration i,2 lastScaleTime t,3 currentReplicas i,4 desiredReplicas i,5 currentMetrics [477,6 conditions [484
1 type s,2 object 478,3 pods 480,4 resource 481,7 containerResource 482,5 external 483
1 metric 468,2 current 479,3 describedObject 464
1 value q,2 averageValue q,3 averageUtilization i
1 metric 468,2 current 479
1 name s,2 current 479
1 name s,2 current 479,3 container s
1 metric 468,2 current 479
1 type s,2 status s,3 lastTransitionTime t,4 reason s,5 message s
1 metadata 1,2 spec 486,3 status 495
1 schedule s,8 timeZone s,2 startingDeadlineSeconds i,3 concurrencyPolicy s,4 suspend b,5 jobTemplate 487,6 successfulJobsHistoryLimit i,7 failedJobsHistoryLimit i
1 metadata 1,2 spec 488
1 parallelism i,2 completions i,3 activeDeadlineSeconds i,11 podFailurePolicy 489,16 successPolicy 493,7 backoffLimit i,12 backoffLimitPerIndex i,13 maxFailedIndexes i,4 selector 76,5 manualSelector b,6 template 197,8 ttlSecondsAfterFinished i,9 completionMode s,10 suspend b,14 podReplacementPolicy s,15 managedBy s
1 rules [490
1 action s,2 onExitCodes 491,3 onPodConditions [492
1 containerName s,2 operator s,3 values [i
1 type s,2 status s
1 rules [494
1 succeededIndexes s,2 succeededCount i
1 active [4,4 lastScheduleTime t,5 lastSuccessfulTime t
1 metadata 1,2 spec 488,3 status 497
1 conditions [498,2 startTime t,3 completionTime t,4 active i,5 succeeded i,6 failed i,11 terminating i,7 completedIndexes s,10 failedIndexes s,8 uncountedTerminatedPods 499,9 ready i
1 type s,2 status s,3 lastProbeTime t,4 lastTransitionTime t,5 reason s,6 message s
1 succeeded [s,2 failed [s
1 metadata 1,2 spec 501,3 status 503
1 schedule s,8 timeZone s,2 startingDeadlineSeconds i,3 concurrencyPolicy s,4 suspend b,5 jobTemplate 502,6 successfulJobsHistoryLimit i,7 failedJobsHistoryLimit i
1 metadata 1,2 spec 488
1 active [4,4 lastScheduleTime t,5 lastSuccessfulTime t
1 metadata 1,2 spec 505,3 status 506
1 request y,7 signerName s,8 expirationSeconds i,5 usages [s,2 username s,3 uid s,4 groups [s,6 extra {(s
1 conditions [507,2 certificate y
1 type s,6 status s,2 reason s,3 message s,4 lastUpdateTime t,5 lastTransitionTime t
1 metadata 1,2 spec 509
1 signerName s,2 trustBundle s
1 metadata 1,2 spec 511,3 status 512
1 signerName s,2 podName s,3 podUID s,4 serviceAccountName s,5 serviceAccountUID s,6 nodeName s,7 nodeUID s,8 maxExpirationSeconds i,9 pkixPublicKey y,10 proofOfPossession y
1 conditions [219,2 certificateChain s,4 notBefore t,5 beginRefreshAt t,6 notAfter t
1 metadata 1,2 spec 514,3 status 515
1 request y,7 signerName s,8 expirationSeconds i,5 usages [s,2 username s,3 uid s,4 groups [s,6 extra {(s
1 conditions [516,2 certificate y
1 type s,6 status s,2 reason s,3 message s,4 lastUpdateTime t,5 lastTransitionTime t
1 metadata 1,2 spec 518
1 signerName s,2 trustBundle s
1 metadata 1,2 spec 520
1 holderIdentity s,2 leaseDurationSeconds i,3 acquireTime m,4 renewTime m,5 leaseTransitions i,6 strategy s,7 preferredHolder s
1 metadata 1,2 spec 522
1 leaseName s,2 pingTime m,3 renewTime m,4 binaryVersion s,5 emulationVersion s,6 strategy s
1 metadata 1,2 spec 524
1 holderIdentity s,2 leaseDurationSeconds i,3 acquireTime m,4 renewTime m,5 leaseTransitions i,6 strategy s,7 preferredHolder s
1 metadata 1,2 spec 526
1 leaseName s,2 pingTime m,3 renewTime m,4 binaryVersion s,5 emulationVersion s,6 strategy s
1 metadata 1,4 addressType s,2 endpoints [528,3 ports [533
1 addresses [s,2 conditions 529,3 hostname s,4 targetRef 4,5 deprecatedTopology {s,6 nodeName s,7 zone s,8 hints 530
1 ready b,2 serving b,3 terminating b
1 forZones [531,2 forNodes [532
1 name s
1 name s
1 name s,2 protocol s,3 port i,4 appProtocol s
1 metadata 1,4 addressType s,2 endpoints [535,3 ports [540
1 addresses [s,2 conditions 536,3 hostname s,4 targetRef 4,5 topology {s,6 nodeName s,7 hints 537
1 ready b,2 serving b,3 terminating b
1 forZones [538,2 forNodes [539
1 name s
1 name s
1 name s,2 protocol s,3 port i,4 appProtocol s
1 metadata 1,2 eventTime m,3 series 542,4 reportingController s,5 reportingInstance s,6 action s,7 reason s,8 regarding 4,9 related 4,10 note s,11 type s,12 deprecatedSource 15,13 deprecatedFirstTimestamp t,14 deprecatedLastTimestamp t,15 deprecatedCount i
1 count i,2 lastObservedTime m
1 metadata 1,2 eventTime m,3 series 544,4 reportingController s,5 reportingInstance s,6 action s,7 reason s,8 regarding 4,9 related 4,10 note s,11 type s,12 deprecatedSource 15,13 deprecatedFirstTimestamp t,14 deprecatedLastTimestamp t,15 deprecatedCount i
1 count i,2 lastObservedTime m
1 metadata 1,2 spec 546,3 status 549
1 selector 76,2 template 197,3 updateStrategy 547,4 minReadySeconds i,5 templateGeneration i,6 revisionHistoryLimit i
1 type s,2 rollingUpdate 548
1 maxUnavailable o,2 maxSurge o
1 currentNumberScheduled i,2 numberMisscheduled i,3 desiredNumberScheduled i,4 numberReady i,5 observedGeneration i,6 updatedNumberScheduled i,7 numberAvailable i,8 numberUnavailable i,9 collisionCount i,10 conditions [550
1 type s,2 status s,3 lastTransitionTime t,4 reason s,5 message s
1 metadata 1,2 spec 552,3 status 556
1 replicas i,2 selector 76,3 template 197,4 strategy 553,5 minReadySeconds i,6 revisionHistoryLimit i,7 paused b,8 rollbackTo 555,9 progressDeadlineSeconds i
1 type s,2 rollingUpdate 554
1 maxUnavailable o,2 maxSurge o
1 revision i
1 observedGeneration i,2 replicas i,3 updatedReplicas i,7 readyReplicas i,4 availableReplicas i,5 unavailableReplicas i,9 terminatingReplicas i,6 conditions [557,8 collisionCount i
1 type s,2 status s,6 lastUpdateTime t,7 lastTransitionTime t,4 reason s,5 message s
1 name s,2 updatedAnnotations {s,3 rollbackTo 555
1 metadata 1,2 spec 560,3 status 567
4 ingressClassName s,1 backend 561,2 tls [562,3 rules [563
1 serviceName s,2 servicePort o,3 resource 79
1 hosts [s,2 secretName s
1 host s,2 - 564
1 http 565
1 paths [566
1 path s,3 pathType s,2 backend 561
1 loadBalancer 568
1 ingress [569
1 ip s,2 hostname s,4 ports [570
1 port i,2 protocol s,3 error s
1 metadata 1,2 spec 572
1 podSelector 76,2 ingress [573,3 egress [577,4 policyTypes [s
1 ports [574,2 from [575
1 protocol s,2 port o,3 endPort i
1 podSelector 76,2 namespaceSelector 76,3 ipBlock 576
1 cidr s,2 except [s
1 ports [574,2 to [575
1 metadata 1,2 spec 579,3 status 580
1 replicas i,4 minReadySeconds i,2 selector 76,3 template 197
1 replicas i,2 fullyLabeledReplicas i,4 readyReplicas i,5 availableReplicas i,7 terminatingReplicas i,3 observedGeneration i,6 conditions [581
1 type s,2 status s,3 lastTransitionTime t,4 reason s,5 message s
1 metadata 1,2 spec 583,3 status 584
1 replicas i
1 replicas i,2 selector {s,3 targetSelector s
1 metadata 1,2 spec 586,3 status 596
1 priorityLevelConfiguration 587,2 matchingPrecedence i,3 distinguisherMethod 588,4 rules [589
1 name s
1 type s
1 subjects [590,2 resourceRules [594,3 nonResourceRules [595
1 kind s,2 user 591,3 group 592,4 serviceAccount 593
1 name s
1 name s
1 namespace s,2 name s
1 verbs [s,2 apiGroups [s,3 resources [s,4 clusterScope b,5 namespaces [s
1 verbs [s,6 nonResourceURLs [s
1 conditions [597
1 type s,2 status s,3 lastTransitionTime t,4 reason s,5 message s
1 metadata 1,2 spec 599,3 status 604
1 type s,2 limited 600,3 exempt 603
1 nominalConcurrencyShares i,2 limitResponse 601,3 lendablePercent i,4 borrowingLimitPercent i
1 type s,2 queuing 602
1 queues i,2 handSize i,3 queueLengthLimit i
1 nominalConcurrencyShares i,2 lendablePercent i
1 conditions [605
1 type s,2 status s,3 lastTransitionTime t,4 reason s,5 message s
1 metadata 1,2 spec 607,3 status 617
1 priorityLevelConfiguration 608,2 matchingPrecedence i,3 distinguisherMethod 609,4 rules [610
1 name s
1 type s
1 subjects [611,2 resourceRules [615,3 nonResourceRules [616
1 kind s,2 user 612,3 group 613,4 serviceAccount 614
1 name s
1 name s
1 namespace s,2 name s
1 verbs [s,2 apiGroups [s,3 resources [s,4 clusterScope b,5 namespaces [s
1 verbs [s,6 nonResourceURLs [s
1 conditions [618
1 type s,2 status s,3 lastTransitionTime t,4 reason s,5 message s
1 metadata 1,2 spec 620,3 status 625
1 type s,2 limited 621,3 exempt 624
1 assuredConcurrencyShares i,2 limitResponse 622,3 lendablePercent i,4 borrowingLimitPercent i
1 type s,2 queuing 623
1 queues i,2 handSize i,3 queueLengthLimit i
1 nominalConcurrencyShares i,2 lendablePercent i
1 conditions [626
1 type s,2 status s,3 lastTransitionTime t,4 reason s,5 message s
1 metadata 1,2 spec 628,3 status 638
1 priorityLevelConfiguration 629,2 matchingPrecedence i,3 distinguisherMethod 630,4 rules [631
1 name s
1 type s
1 subjects [632,2 resourceRules [636,3 nonResourceRules [637
1 kind s,2 user 633,3 group 634,4 serviceAccount 635
1 name s
1 name s
1 namespace s,2 name s
1 verbs [s,2 apiGroups [s,3 resources [s,4 clusterScope b,5 namespaces [s
1 verbs [s,6 nonResourceURLs [s
1 conditions [639
1 type s,2 status s,3 lastTransitionTime t,4 reason s,5 message s
1 metadata 1,2 spec 641,3 status 646
1 type s,2 limited 642,3 exempt 645
1 assuredConcurrencyShares i,2 limitResponse 643,3 lendablePercent i,4 borrowingLimitPercent i
1 type s,2 queuing 644
1 queues i,2 handSize i,3 queueLengthLimit i
1 nominalConcurrencyShares i,2 lendablePercent i
1 conditions [647
1 type s,2 status s,3 lastTransitionTime t,4 reason s,5 message s
1 metadata 1,2 spec 649,3 status 659
1 priorityLevelConfiguration 650,2 matchingPrecedence i,3 distinguisherMethod 651,4 rules [652
1 name s
1 type s
1 subjects [653,2 resourceRules [657,3 nonResourceRules [658
1 kind s,2 user 654,3 group 655,4 serviceAccount 656
1 name s
1 name s
1 namespace s,2 name s
1 verbs [s,2 apiGroups [s,3 resources [s,4 clusterScope b,5 namespaces [s
1 verbs [s,6 nonResourceURLs [s
1 conditions [660
1 type s,2 status s,3 lastTransitionTime t,4 reason s,5 message s
1 metadata 1,2 spec 662,3 status 667
1 type s,2 limited 663,3 exempt 666
1 nominalConcurrencyShares i,2 limitResponse 664,3 lendablePercent i,4 borrowingLimitPercent i
1 type s,2 queuing 665
1 queues i,2 handSize i,3 queueLengthLimit i
1 nominalConcurrencyShares i,2 lendablePercent i
1 conditions [668
1 type s,2 status s,3 lastTransitionTime t,4 reason s,5 message s
1 metadata 1,2 spec 670,3 status 671

1 storageVersions [672,2 commonEncodingVersion s,3 conditions [673
1 apiServerID s,2 encodingVersion s,3 decodableVersions [s,4 servedVersions [s
1 type s,2 status s,3 observedGeneration i,4 lastTransitionTime t,5 reason s,6 message s
1 metadata 1,2 spec 675
1 parentRef 676
1 group s,2 resource s,3 namespace s,4 name s
1 metadata 1,2 spec 678,3 status 687
4 ingressClassName s,1 defaultBackend 679,2 tls [682,3 rules [683
4 service 680,3 resource 79
1 name s,2 port 681
1 name s,2 number i
1 hosts [s,2 secretName s
1 host s,2 - 684
1 http 685
1 paths [686
1 path s,3 pathType s,2 backend 679
1 loadBalancer 688
1 ingress [689
1 ip s,2 hostname s,4 ports [690
1 port i,2 protocol s,3 error s
1 metadata 1,2 spec 692
1 controller s,2 parameters 693
1 apiGroup s,2 kind s,3 name s,4 scope s,5 namespace s
1 metadata 1,2 spec 695
1 podSelector 76,2 ingress [696,3 egress [700,4 policyTypes [s
1 ports [697,2 from [698
1 protocol s,2 port o,3 endPort i
1 podSelector 76,2 namespaceSelector 76,3 ipBlock 699
1 cidr s,2 except [s
1 ports [697,2 to [698
1 metadata 1,2 spec 702,3 status 703
1 cidrs [s
1 conditions [219
1 metadata 1,2 spec 705
1 parentRef 706
1 group s,2 resource s,3 namespace s,4 name s
1 metadata 1,2 spec 708,3 status 715
4 ingressClassName s,1 backend 709,2 tls [710,3 rules [711
1 serviceName s,2 servicePort o,3 resource 79
1 hosts [s,2 secretName s
1 host s,2 - 712
1 http 713
1 paths [714
1 path s,3 pathType s,2 backend 709
1 loadBalancer 716
1 ingress [717
1 ip s,2 hostname s,4 ports [718
1 port i,2 protocol s,3 error s
1 metadata 1,2 spec 720
1 controller s,2 parameters 721
1 apiGroup s,2 kind s,3 name s,4 scope s,5 namespace s
1 metadata 1,2 spec 723,3 status 724
1 cidrs [s
1 conditions [219
1 metadata 1,2 handler s,3 overhead 726,4 scheduling 727
1 podFixed {q
1 nodeSelector {s,2 tolerations [164
1 metadata 1,2 spec 729
1 runtimeHandler s,2 overhead 730,3 scheduling 731
1 podFixed {q
1 nodeSelector {s,2 tolerations [164
1 metadata 1,2 handler s,3 overhead 733,4 scheduling 734
1 podFixed {q
1 nodeSelector {s,2 tolerations [164
1 metadata 1,2 deleteOptions 8
1 metadata 1,2 spec 737,3 status 738
1 minAvailable o,2 selector 76,3 maxUnavailable o,4 unhealthyPodEvictionPolicy s
1 observedGeneration i,2 disruptedPods {t,3 disruptionsAllowed i,4 currentHealthy i,5 desiredHealthy i,6 expectedPods i,7 conditions [219
1 metadata 1,2 deleteOptions 8
1 metadata 1,2 spec 741,3 status 742
1 minAvailable o,2 selector 76,3 maxUnavailable o,4 unhealthyPodEvictionPolicy s
1 observedGeneration i,2 disruptedPods {t,3 disruptionsAllowed i,4 currentHealthy i,5 desiredHealthy i,6 expectedPods i,7 conditions [219
1 metadata 1,2 rules [744,3 aggregationRule 745
1 verbs [s,2 apiGroups [s,3 resources [s,4 resourceNames [s,5 nonResourceURLs [s
1 clusterRoleSelectors [76
1 metadata 1,2 subjects [747,3 roleRef 748
1 kind s,2 apiGroup s,3 name s,4 namespace s
1 apiGroup s,2 kind s,3 name s
1 metadata 1,2 rules [744
1 metadata 1,2 subjects [747,3 roleRef 748
1 metadata 1,2 rules [752,3 aggregationRule 753
1 verbs [s,3 apiGroups [s,4 resources [s,5 resourceNames [s,6 nonResourceURLs [s
1 clusterRoleSelectors [76
1 metadata 1,2 subjects [755,3 roleRef 756
1 kind s,2 apiVersion s,3 name s,4 namespace s
1 apiGroup s,2 kind s,3 name s
1 metadata 1,2 rules [752
1 metadata 1,2 subjects [755,3 roleRef 756
1 metadata 1,2 rules [760,3 aggregationRule 761
1 verbs [s,2 apiGroups [s,3 resources [s,4 resourceNames [s,5 nonResourceURLs [s
1 clusterRoleSelectors [76
1 metadata 1,2 subjects [763,3 roleRef 764
1 kind s,2 apiGroup s,3 name s,4 namespace s
1 apiGroup s,2 kind s,3 name s
1 metadata 1,2 rules [760
1 metadata 1,2 subjects [763,3 roleRef 764
1 metadata 1,2 spec 768
1 selectors [769,2 config [771,4 extendedResourceName s
1 cel 770
1 expression s
1 - 772
1 opaque 773
1 driver s,2 parameters r
1 metadata 1,2 spec 775,3 status 784
1 devices 776
1 requests [777,2 constraints [782,3 config [783
1 name s,2 exactly 778,3 firstAvailable [781
1 deviceClassName s,2 selectors [769,3 allocationMode s,4 count i,5 adminAccess b,6 tolerations [779,7 capacity 780
1 key s,2 operator s,3 value s,4 effect s,5 tolerationSeconds i
1 requests {q
1 name s,2 deviceClassName s,3 selectors [769,4 allocationMode s,5 count i,6 tolerations [779,7 capacity 780
1 requests [s,2 matchAttribute s,3 distinctAttribute s
1 requests [s,2 - 772
1 allocation 785,2 reservedFor [789,4 devices [790
1 devices 786,3 nodeSelector 70,5 allocationTimestamp t
1 results [787,2 config [788
1 request s,2 driver s,3 pool s,4 device s,5 adminAccess b,6 tolerations [779,7 bindingConditions [s,8 bindingFailureConditions [s,9 shareID s,10 consumedCapacity {q
1 source s,2 requests [s,3 - 772
1 apiGroup s,3 resource s,4 name s,5 uid s
1 driver s,2 pool s,3 device s,7 shareID s,4 conditions [219,5 data r,6 networkData 791
1 interfaceName s,2 ips [s,3 hardwareAddress s
1 metadata 1,2 spec 793
1 metadata 1,2 spec 775
1 metadata 1,2 spec 795
1 driver s,2 pool 796,3 nodeName s,4 nodeSelector 70,5 allNodes b,6 devices [797,7 perDeviceNodeSelection b,8 sharedCounters [805
1 name s,2 generation i,3 resourceSliceCount i
1 name s,2 attributes {798,3 capacity {799,4 consumesCounters [802,5 nodeName s,6 nodeSelector 70,7 allNodes b,8 taints [804,9 bindsToNode b,10 bindingConditions [s,11 bindingFailureConditions [s,12 allowMultipleAllocations b
2 int i,3 bool b,4 string s,5 version s
1 value q,2 requestPolicy 800
1 default q,3 validValues [q,4 validRange 801
1 min q,2 max q,3 step q
1 counterSet s,2 counters {803
1 value q
1 key s,2 value s,3 effect s,4 timeAdded t
1 name s,2 counters {803
1 metadata 1,2 spec 807
1 deviceSelector 808,2 taint 811
1 deviceClassName s,2 driver s,3 pool s,4 device s,5 selectors [809
1 cel 810
1 expression s
1 key s,2 value s,3 effect s,4 timeAdded t
1 metadata 1,2 spec 813
1 selectors [814,2 config [816,4 extendedResourceName s
1 cel 815
1 expression s
1 - 817
1 opaque 818
1 driver s,2 parameters r
1 metadata 1,2 spec 820,3 status 828
1 devices 821
1 requests [822,2 constraints [826,3 config [827
1 name s,2 deviceClassName s,3 selectors [814,4 allocationMode s,5 count i,6 adminAccess b,7 firstAvailable [823,8 tolerations [824,9 capacity 825
1 name s,2 deviceClassName s,3 selectors [814,4 allocationMode s,5 count i,7 tolerations [824,8 capacity 825
1 key s,2 operator s,3 value s,4 effect s,5 tolerationSeconds i
1 requests {q
1 requests [s,2 matchAttribute s,3 distinctAttribute s
1 requests [s,2 - 817
1 allocation 829,2 reservedFor [833,4 devices [834
1 devices 830,3 nodeSelector 70,5 allocationTimestamp t
1 results [831,2 config [832
1 request s,2 driver s,3 pool s,4 device s,5 adminAccess b,6 tolerations [824,7 bindingConditions [s,8 bindingFailureConditions [s,9 shareID s,10 consumedCapacity {q
1 source s,2 requests [s,3 - 817
1 apiGroup s,3 resource s,4 name s,5 uid s
1 driver s,2 pool s,3 device s,7 shareID s,4 conditions [219,5 data r,6 networkData 835
1 interfaceName s,2 ips [s,3 hardwareAddress s
1 metadata 1,2 spec 837
1 metadata 1,2 spec 820
1 metadata 1,2 spec 839
1 driver s,2 pool 840,3 nodeName s,4 nodeSelector 70,5 allNodes b,6 devices [841,7 perDeviceNodeSelection b,8 sharedCounters [850
1 name s,2 generation i,3 resourceSliceCount i
1 name s,2 basic 842
1 attributes {843,2 capacity {844,3 consumesCounters [847,4 nodeName s,5 nodeSelector 70,6 allNodes b,7 taints [849,8 bindsToNode b,9 bindingConditions [s,10 bindingFailureConditions [s,11 allowMultipleAllocations b
2 int i,3 bool b,4 string s,5 version s
1 value q,2 requestPolicy 845
1 default q,3 validValues [q,4 validRange 846
1 min q,2 max q,3 step q
1 counterSet s,2 counters {848
1 value q
1 key s,2 value s,3 effect s,4 timeAdded t
1 name s,2 counters {848
1 metadata 1,2 spec 852
1 selectors [853,2 config [855,4 extendedResourceName s
1 cel 854
1 expression s
1 - 856
1 opaque 857
1 driver s,2 parameters r
1 metadata 1,2 spec 859,3 status 868
1 devices 860
1 requests [861,2 constraints [866,3 config [867
1 name s,2 exactly 862,3 firstAvailable [865
1 deviceClassName s,2 selectors [853,3 allocationMode s,4 count i,5 adminAccess b,6 tolerations [863,7 capacity 864
1 key s,2 operator s,3 value s,4 effect s,5 tolerationSeconds i
1 requests {q
1 name s,2 deviceClassName s,3 selectors [853,4 allocationMode s,5 count i,6 tolerations [863,7 capacity 864
1 requests [s,2 matchAttribute s,3 distinctAttribute s
1 requests [s,2 - 856
1 allocation 869,2 reservedFor [873,4 devices [874
1 devices 870,3 nodeSelector 70,5 allocationTimestamp t
1 results [871,2 config [872
1 request s,2 driver s,3 pool s,4 device s,5 adminAccess b,6 tolerations [863,7 bindingConditions [s,8 bindingFailureConditions [s,9 shareID s,10 consumedCapacity {q
1 source s,2 requests [s,3 - 856
1 apiGroup s,3 resource s,4 name s,5 uid s
1 driver s,2 pool s,3 device s,7 shareID s,4 conditions [219,5 data r,6 networkData 875
1 interfaceName s,2 ips [s,3 hardwareAddress s
1 metadata 1,2 spec 877
1 metadata 1,2 spec 859
1 metadata 1,2 spec 879
1 driver s,2 pool 880,3 nodeName s,4 nodeSelector 70,5 allNodes b,6 devices [881,7 perDeviceNodeSelection b,8 sharedCounters [889
1 name s,2 generation i,3 resourceSliceCount i
1 name s,2 attributes {882,3 capacity {883,4 consumesCounters [886,5 nodeName s,6 nodeSelector 70,7 allNodes b,8 taints [888,9 bindsToNode b,10 bindingConditions [s,11 bindingFailureConditions [s,12 allowMultipleAllocations b
2 int i,3 bool b,4 string s,5 version s
1 value q,2 requestPolicy 884
1 default q,3 validValues [q,4 validRange 885
1 min q,2 max q,3 step q
1 counterSet s,2 counters {887
1 value q
1 key s,2 value s,3 effect s,4 timeAdded t
1 name s,2 counters {887
1 metadata 1,2 value i,3 globalDefault b,4 description s,5 preemptionPolicy s
1 metadata 1,2 value i,3 globalDefault b,4 description s,5 preemptionPolicy s
1 metadata 1,2 value i,3 globalDefault b,4 description s,5 preemptionPolicy s
1 metadata 1,2 spec 894
1 attachRequired b,2 podInfoOnMount b,3 volumeLifecycleModes [s,4 storageCapacity b,5 fsGroupPolicy s,6 tokenRequests [895,7 requiresRepublish b,8 seLinuxMount b,9 nodeAllocatableUpdatePeriodSeconds i
1 audience s,2 expirationSeconds i
1 metadata 1,2 spec 897
1 drivers [898
1 name s,2 nodeID s,3 topologyKeys [s,4 allocatable 899
1 count i
1 metadata 1,2 nodeTopology 76,3 storageClassName s,4 capacity q,5 maximumVolumeSize q
1 metadata 1,2 provisioner s,3 parameters {s,4 reclaimPolicy s,5 mountOptions [s,6 allowVolumeExpansion b,7 volumeBindingMode s,8 allowedTopologies [902
1 matchLabelExpressions [903
1 key s,2 values [s
1 metadata 1,2 spec 905,3 status 907
1 attacher s,2 source 906,3 nodeName s
1 persistentVolumeName s,2 inlineVolumeSpec 44
1 attached b,2 attachmentMetadata {s,3 attachError 908,4 detachError 908
1 time t,2 message s,3 errorCode i
1 metadata 1,2 driverName s,3 parameters {s
1 metadata 1,2 nodeTopology 76,3 storageClassName s,4 capacity q,5 maximumVolumeSize q
1 metadata 1,2 spec 912,3 status 914
1 attacher s,2 source 913,3 nodeName s
1 persistentVolumeName s,2 inlineVolumeSpec 44
1 attached b,2 attachmentMetadata {s,3 attachError 915,4 detachError 915
1 time t,2 message s,3 errorCode i
1 metadata 1,2 driverName s,3 parameters {s
1 metadata 1,2 spec 918
1 attachRequired b,2 podInfoOnMount b,3 volumeLifecycleModes [s,4 storageCapacity b,5 fsGroupPolicy s,6 tokenRequests [919,7 requiresRepublish b,8 seLinuxMount b,9 nodeAllocatableUpdatePeriodSeconds i
1 audience s,2 expirationSeconds i
1 metadata 1,2 spec 921
1 drivers [922
1 name s,2 nodeID s,3 topologyKeys [s,4 allocatable 923
1 count i
1 metadata 1,2 nodeTopology 76,3 storageClassName s,4 capacity q,5 maximumVolumeSize q
1 metadata 1,2 provisioner s,3 parameters {s,4 reclaimPolicy s,5 mountOptions [s,6 allowVolumeExpansion b,7 volumeBindingMode s,8 allowedTopologies [902
1 metadata 1,2 spec 927,3 status 929
1 attacher s,2 source 928,3 nodeName s
1 persistentVolumeName s,2 inlineVolumeSpec 44
1 attached b,2 attachmentMetadata {s,3 attachError 930,4 detachError 930
1 time t,2 message s,3 errorCode i
1 metadata 1,2 driverName s,3 parameters {s
1 metadata 1,2 spec 933,3 status 935
1 resource 934,2 continueToken s
1 group s,2 version s,3 resource s
1 conditions [936,2 resourceVersion s
1 type s,2 status s,3 lastUpdateTime t,4 reason s,5 message s
`;
