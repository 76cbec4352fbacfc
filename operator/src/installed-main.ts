import { createTransport } from '@chaperone/kube';
import { findCluster } from '@chaperone/kube/find-cluster';
import { CAPTURE_ANNOTATION, readCaptureMode } from './injection/profile.ts';
import { tryInstallation } from './installed.ts';

/** What `helm test` runs, and an installation that asks for it, with the namespace to try pods in, the one of the installation and its capture mode: a line for each finding; exit code 1 where one is bad. */
const PATIENCE_MS = 100_000;

const [namespace = '', system = '', mode = ''] = process.argv.slice(2);
const kube = createTransport({ config: await findCluster(process.env), userAgent: 'chaperone-test' });
const findings = await tryInstallation({
  kube,
  namespace,
  capture: readCaptureMode({ [CAPTURE_ANNOTATION]: mode }, 'pod'),
  metricsUrl: `http://chaperone-webhook.${system}.svc:8080/metrics`,
  collectorUrl: `https://chaperone-collector.${system}.svc/readyz`,
  patienceMs: PATIENCE_MS,
});
for (const { what, why } of findings) process.stdout.write(why === undefined ? `ok    ${what}\n` : `FAIL  ${what}: ${why}\n`);
const isGood = findings.every(({ why }) => why === undefined);
if (!isGood) process.stdout.write('What is wrong, and what to do: kubectl chaperone doctor\n');
kube.close();
process.exitCode = isGood ? 0 : 1;
