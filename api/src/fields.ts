import { z } from 'zod';
import { matches, withRules } from './rules.ts';
import { DURATION, QUANTITY } from './units.ts';

/** Said once, quoted wherever a field takes globs. */
export const GLOB_SYNTAX =
  'Globs: * stands for any characters inside one part of a dotted name; ** is a whole part, once, and stands for any number of parts; a part that holds a dot is quoted as in SQL; case matters.';

/** Said once, quoted wherever a field takes resources of the Kubernetes API. */
export const RESOURCE_SYNTAX =
  'As kubectl writes them: pods, pods/log, deployments.apps, deployments.apps/scale. * stands for any characters of the resource, the group or the subresource, so that *.* is all of every group but no subresource; ** is everything.';

/** Said once, quoted wherever fields of objects of the Kubernetes API are labelled. */
export const FIELD_SYNTAX =
  'RESOURCE:PATH, env:NAME or annotations:KEY. The resource as kubectl writes it, without a group of any; the path as kubectl explain has it, lists passed through, with [*] or without; a dot within a name is \\., as in kubectl’s jsonpath; * stands for any characters of one name. All that is below such a field is masked. env and annotations reach every object, and templates in it.';

/** Said once, quoted wherever a field takes paths. */
export const PATH_SYNTAX =
  'Globs: * stands for any characters between two slashes; ** is a whole part, once, and stands for any number of parts; case matters.';

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const OBJECT_NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const HOST_NAME = /^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?[.])*[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/;
const PORT = '([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])';
const UPSTREAM = new RegExp(`^(\\[[0-9a-fA-F:.]+\\]|[a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?):${PORT}$`);
const DATA_LABEL = /^[a-z0-9]([-a-z0-9_.]*[a-z0-9])?$/;
// One part of a dotted name as the server prints it; one that holds a dot or a quote is quoted.
const QUOTED = '"([^"]|"")+"';
const PART = `([^.*"\\t\\r\\n]+|${QUOTED})`;
// Stars may stand anywhere here; what two or three of them in a row mean is read where globs are read.
const GLOB_PART = `([^."\\t\\r\\n]+|${QUOTED})`;
const COLUMN = new RegExp(`^${PART}[.]${PART}[.]${PART}$`);
const RELATION_GLOB = new RegExp(`^([*][*]|${GLOB_PART}[.]${GLOB_PART})$`);
const COLUMN_GLOB = new RegExp(`^([*][*]([.]${GLOB_PART})?|${GLOB_PART}[.]([*][*]|${GLOB_PART}[.]${GLOB_PART}))$`);
// Words of printable ASCII; which words stand for what is read where commands are matched.
const COMMAND_GLOB = /^[!-~]+( [!-~]+)*$/;
const PATH_GLOB = /^[/]([^/\t\r\n]+([/][^/\t\r\n]+)*)?$/;
const DOT_PART = /[/][.][.]?([/]|$)/;
const FORWARD = /^(\[[0-9a-f:.]+\]|([*][.])?[a-z0-9]([-a-z0-9.]*[a-z0-9])?):([1-9][0-9]{0,4}|[*])$/;
// A name, in which a dot follows a backslash; [*] behind it is that of a list.
const FIELD_NAME = '([^.\\\\[\\]\\t\\r\\n]|\\\\[.])+(\\[[*]?\\])?';
const KUBERNETES_FIELD = new RegExp(
  `^((env|annotations):[^\\t\\r\\n]+|[-a-z0-9*]+([.][a-z0-9]([-a-z0-9.]*[a-z0-9])?)?:${FIELD_NAME}([.]${FIELD_NAME})*)$`,
);
const ONE_LINE = /^[^\t\r\n]*$/;

/** A string of 1 to `max` characters that matches `pattern`, with `message` where it does not. */
export function text(max: number, pattern: RegExp, message: string): z.ZodString {
  return withRules(z.string().min(1).max(max), matches(pattern, max, message));
}

export const namespaceName = text(63, DNS_LABEL, 'write the name of a namespace, for example agents');
export const objectName = text(253, OBJECT_NAME, 'write the name of a Kubernetes object, for example orders-db');
export const shortName = text(63, DNS_LABEL, 'write lower-case letters, digits and -, for example read-tickets');
export const hostName = text(253, HOST_NAME, 'write a lower-case DNS name, for example orders.data.svc');
export const upstreamAddress = text(261, UPSTREAM, 'write host:port, for example orders.data.svc:5432 or [2001:db8::5]:5432');
export const vaultPath = text(
  256,
  /^[A-Za-z0-9_-][A-Za-z0-9._-]*([/][A-Za-z0-9_-][A-Za-z0-9._-]*)+$/,
  'write the path behind /v1/ of letters, digits, ., _ and -, for example database/creds/orders-agent or secret/data/orders',
);
export const dataLabel = text(63, DATA_LABEL, 'write a label in lower case, for example pii.email');
export const columnName = text(194, COLUMN, 'write schema.table.column, for example public.customers.email');
export const kubernetesField = text(
  200,
  KUBERNETES_FIELD,
  'write RESOURCE:PATH, env:NAME or annotations:KEY, for example configmaps:data.password, secrets:data.tls\\.key or env:*_PASSWORD',
);
export const relationGlob = text(130, RELATION_GLOB, 'write schema.relation, for example public.tickets, public.* or **');
export const functionGlob = text(130, RELATION_GLOB, 'write schema.function, for example pg_catalog.count, public.* or **');
export const columnGlob = text(
  194,
  COLUMN_GLOB,
  'write schema.table.column, for example public.customers.name, public.customers.* or **',
);
export const sshPublicKey = text(
  1024,
  /^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp256|ecdsa-sha2-nistp384|ecdsa-sha2-nistp521) [A-Za-z0-9+/]+=?=?$/,
  'write a public key as ssh-keyscan prints it behind the host, for example ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA',
);
export const commandGlob = text(
  256,
  COMMAND_GLOB,
  'write the words of a command with one space between, for example systemctl status nginx, git log ** or **',
);
const PATH_MESSAGE = 'write an absolute path without . and .., for example /srv/app/*.log, /srv/** or /**';
export const pathGlob = withRules(z.string().min(1).max(256), matches(PATH_GLOB, 256, PATH_MESSAGE), {
  cel: `!self.matches(r'${DOT_PART.source}')`,
  message: PATH_MESSAGE,
  check: (self) => self.length > 256 || !DOT_PART.test(self),
});
export const subsystemName = text(64, /^[a-z0-9][-a-z0-9_.@]*$/, 'write the name of a subsystem, for example sftp');
export const forwardGlob = text(
  261,
  FORWARD,
  'write host:port, for example db.internal:5432, *.internal:443 or [2001:db8::5]:443',
);
// What ** means anywhere but alone is read where these are matched.
export const apiResourceGlob = text(
  200,
  /^([*][*]|[a-z0-9*][-a-z0-9*]*([.][a-z0-9*][-a-z0-9.*]*)?([/][a-z0-9*][-a-z0-9*]*)?)$/,
  'write resources as kubectl does, for example pods, pods/log, deployments.apps, *.apps or **',
);
export const namespaceGlob = text(63, /^[a-z0-9*][-a-z0-9*]*$/, 'write the name of a namespace, for example shop or team-*');
export const objectNameGlob = text(253, /^[-A-Za-z0-9._:@+=~*]+$/, 'write the name of an object, for example web-1 or web-*');
export const secretKey = text(253, /^[-._a-zA-Z0-9]+$/, 'write a key of the Secret, for example ca.crt');
export const duration = withRules(
  z.string().min(2).max(35),
  matches(DURATION, 35, 'write a duration such as 30s, 5m or 1h30m'),
  matches(/[1-9]/, 35, 'write a duration longer than zero, for example 5m'),
);
export const quantity = text(15, QUANTITY, 'write a number of bytes such as 65536, 512Ki or 1Mi, in quotes if it has no suffix');
export const port = z.int().min(1).max(65_535);

/** One line of prose. */
export function sentence(max: number): z.ZodString {
  return text(max, ONE_LINE, 'write one line');
}

/** 1 to `max` distinct items. An empty list is refused wherever an absent one means something else. */
export function distinct<T extends z.ZodType<string | number>>(item: T, max: number): z.ZodArray<T> {
  return setOf(z.array(item).min(1).max(max));
}

/** No item twice: a set in Kubernetes' words, which costs the API server nothing, where a CEL rule grows with the square. */
export function setOf<T extends z.ZodArray<z.ZodType<string | number>>>(list: T): T {
  const checked = list.superRefine((items, context) => {
    const seen = new Set<unknown>();
    for (const [index, item] of items.entries()) {
      if (seen.has(item)) context.addIssue({ code: 'custom', message: 'Duplicate value; remove it', path: [index] });
      seen.add(item);
    }
  });
  return checked.meta({ 'x-kubernetes-list-type': 'set' });
}
