import type { Container, Pod, PodSpec } from './pod.ts';
import type { InjectionConfig } from './profile.ts';

export function aConfig(mods: Partial<InjectionConfig> = {}): InjectionConfig {
  return {
    image: 'registry.example/chaperone/sidecar:0.1.0',
    imagePullPolicy: 'IfNotPresent',
    uid: 24_601,
    operatorAddress: 'chaperone-operator.chaperone-system.svc:8443',
    operatorCa: '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n',
    forbiddenRanges: ['10.96.0.10', '192.0.2.0/24'],
    ranges: { ipv4: '240.240.0.0/16', ipv6: '2001:2::/48' },
    resources: { cpuRequest: '10m', memoryRequest: '64Mi', memoryLimit: '256Mi' },
    logLevel: 'info',
    readinessProbe: false,
    ...mods,
  };
}

export const aContainer = (mods: Partial<Container> = {}): Container => ({
  name: 'bot',
  image: 'registry.example/bot:1',
  securityContext: { runAsUser: 1000 },
  ...mods,
});

export const aPod = (spec: Partial<PodSpec> = {}, metadata: Pod['metadata'] = { name: 'bot-x2v' }): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata,
  spec: { containers: [aContainer()], ...spec },
});
