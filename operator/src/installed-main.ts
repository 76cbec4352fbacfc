import { KubeConfig } from '@kubernetes/client-node';
import { createTransport } from '@chaperone/kube';
import { tryInstallation } from './installed.ts';

/** What `helm test` runs, and an installation that asks for it, with the namespace to try pods in and the one of the installation: a line for each finding; exit code 1 where one is bad. */
const PATIENCE_MS = 100_000;

const [namespace = '', system = ''] = process.argv.slice(2);
const config = new KubeConfig();
config.loadFromDefault();
const kube = createTransport({ config, userAgent: 'chaperone-test' });
const findings = await tryInstallation({
  kube,
  namespace,
  metricsUrl: `http://chaperone-webhook.${system}.svc:8080/metrics`,
  collectorUrl: `https://chaperone-collector.${system}.svc/readyz`,
  patienceMs: PATIENCE_MS,
});
for (const { what, why } of findings) process.stdout.write(why === undefined ? `ok    ${what}\n` : `FAIL  ${what}: ${why}\n`);
const isGood = findings.every(({ why }) => why === undefined);
if (!isGood) process.stdout.write('What is wrong, and what to do: kubectl chaperone doctor\n');
kube.close();
process.exitCode = isGood ? 0 : 1;
