import type { Agent } from '@chaperone/policy';
import { CliError, EXIT } from './errors.ts';

const NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

function usage(message: string): CliError {
  return new CliError('Usage', message, { exit: EXIT.usage });
}

/** NAMESPACE/NAME */
export function pair(flag: string, value: string): [string, string] {
  const [namespace = '', name = '', ...more] = value.split('/');
  if (more.length > 0 || !NAME.test(namespace) || !NAME.test(name))
    throw usage(`${flag} is written NAMESPACE/NAME; "${value.slice(0, 80)}" is not`);
  return [namespace, name];
}

/** HOST:PORT, an IPv6 host in brackets. */
export function hostPort(flag: string, value: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(value);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || !(port <= 65535)) throw usage(`${flag} is written HOST:PORT; "${value.slice(0, 80)}" is not`);
  return { host, port };
}

/** k=v,k=v */
export function labels(flag: string, value: string | undefined): Record<string, string> {
  if (value === undefined || value === '') return {};
  return Object.fromEntries(
    value.split(',').map((each) => {
      const at = each.indexOf('=');
      if (at < 1) throw usage(`${flag} is written k=v,k=v; "${each.slice(0, 80)}" is not`);
      return [each.slice(0, at), each.slice(at + 1)];
    }),
  );
}

export function agentOf(flag: string, value: string, labelText: string | undefined): Agent {
  const [namespace, serviceAccount] = pair(flag, value);
  return { namespace, serviceAccount, labels: labels('--labels', labelText), annotations: {} };
}
