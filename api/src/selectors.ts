import { z } from 'zod';
import {
  apiResourceGlob,
  columnGlob,
  commandGlob,
  distinct,
  forwardGlob,
  functionGlob,
  GLOB_SYNTAX,
  namespaceGlob,
  objectNameGlob,
  PATH_SYNTAX,
  pathGlob,
  port,
  relationGlob,
  RESOURCE_SYNTAX,
  subsystemName,
} from './fields.ts';
import { FILE_OPERATIONS, KUBERNETES_VERBS, STATEMENTS } from './resource.ts';
import { withRules } from './rules.ts';

/** Bounds of lists, chosen so that the cost of every CEL rule stays far below the API server's limit. */
const MAX = { globs: 64, columns: 32, paths: 32, subsystems: 8, ports: 32 } as const;
/** What `kubectl cp` does to files of a pod. */
export const COPY_OPERATIONS = ['read', 'write'] as const satisfies readonly (typeof FILE_OPERATIONS)[number][];

export const SqlSelector = z.object({
  statements: distinct(z.enum(STATEMENTS), STATEMENTS.length)
    .optional()
    .describe('Statements it covers, lower case; * is all. Default: all, in a Deny. Example: [select, update]'),
  relations: distinct(relationGlob, MAX.globs)
    .optional()
    .describe(`Tables and views it covers, schema.relation. Default: all, in a Deny. Example: [public.tickets]. ${GLOB_SYNTAX}`),
  columns: distinct(columnGlob, MAX.columns)
    .optional()
    .describe(`Columns it covers, schema.table.column. Default: all of the relations. ${GLOB_SYNTAX}`),
  functions: distinct(functionGlob, MAX.globs)
    .optional()
    .describe(`Functions it covers, schema.function. Default: none, in a rule that lets through; all, in a Deny. ${GLOB_SYNTAX}`),
});
export type SqlSelector = z.infer<typeof SqlSelector>;

export const SshSelector = withRules(
  z.object({
    commands: distinct(commandGlob, MAX.globs)
      .optional()
      .describe(
        'Commands it covers, word by word; * stands for any characters inside one word, ** as the last word for any more words. A Deny meets a program by its name too, whatever its path. Default: none. Example: [systemctl status *, git log **]',
      ),
    files: z
      .object({
        operations: distinct(z.enum(FILE_OPERATIONS), FILE_OPERATIONS.length)
          .optional()
          .describe('What is done to them. Default: all, in a Deny. Example: [read, list]'),
        paths: distinct(pathGlob, MAX.paths)
          .optional()
          .describe(`Files and directories, absolute. Default: all, in a Deny. Example: [/srv/app/**]. ${PATH_SYNTAX}`),
      })
      .optional()
      .describe('Files it covers, by sftp, scp, rsync and git; what commands do to files is not seen. Default: none.'),
    subsystems: distinct(subsystemName, MAX.subsystems)
      .optional()
      .describe(
        'Subsystems it covers. What is done by sftp is judged by files, which let it start too. Default: none. Example: [netconf]',
      ),
    forward: distinct(forwardGlob, MAX.paths)
      .optional()
      .describe(
        'Addresses that may be reached through the server (ssh -L, -W), host:port; *.NAME is any name below it, port * any port. Default: none. Example: [db.internal:5432]',
      ),
    shell: z.literal(true).optional().describe('Interactive shells, and commands with a terminal. Default: none. Example: true'),
  }),
  {
    cel: 'has(self.commands) || has(self.files) || has(self.subsystems) || has(self.forward) || has(self.shell)',
    message: 'say what it covers: commands, files, subsystems, forward or shell',
    check: (self) => Object.values(self).some((value) => value !== undefined),
  },
);
export type SshSelector = z.infer<typeof SshSelector>;

export const KubernetesSelector = withRules(
  z.object({
    verbs: distinct(z.enum(KUBERNETES_VERBS), KUBERNETES_VERBS.length)
      .optional()
      .describe(
        'Verbs it covers, those of RBAC and exec, attach, portforward, which let through what commands, files, shell and ports name; * is all. Default: all, in a Deny. Example: [get, list]',
      ),
    resources: distinct(apiResourceGlob, MAX.globs)
      .optional()
      .describe(`Resources it covers. Default: all, in a Deny. Example: [pods, pods/log, deployments.apps]. ${RESOURCE_SYNTAX}`),
    namespaces: distinct(namespaceGlob, MAX.globs)
      .optional()
      .describe(
        'Namespaces it covers; * stands for any characters. What is in no namespace, or in all at once, lies in none of them; a Deny meets what is in all at once. Default: all, and what is in none. Example: [shop, team-*]',
      ),
    names: distinct(objectNameGlob, MAX.globs)
      .optional()
      .describe(
        'Objects it covers by name; * stands for any characters. A list is of all names, but for one that asks for a single name (--field-selector metadata.name=NAME). Default: all. Example: [web-*]',
      ),
    nonResourcePaths: distinct(pathGlob, MAX.paths)
      .optional()
      .describe(
        `Paths of the server that are no objects, to be read. What clients find the API by (/api, /apis, /openapi, /version) is open to whoever may do anything here. Default: none. Example: [/healthz, /metrics]. ${PATH_SYNTAX}`,
      ),
    commands: distinct(commandGlob, MAX.globs)
      .optional()
      .describe(
        'Commands that exec runs, word by word as those of ssh. Default: none, in a rule that lets through; all that exec does, in a Deny that names none of commands, files and shell. Example: [ls **, cat /etc/app/*]',
      ),
    files: z
      .object({
        operations: distinct(z.enum(COPY_OPERATIONS), COPY_OPERATIONS.length)
          .optional()
          .describe('What is done to them: read, out of the pod; write, into it. Default: both, in a Deny. Example: [read]'),
        paths: distinct(pathGlob, MAX.paths)
          .optional()
          .describe(`Files and directories, absolute. Default: all, in a Deny. Example: [/srv/app/**]. ${PATH_SYNTAX}`),
      })
      .optional()
      .describe('Files that kubectl cp copies, by the verb exec; what commands do to files is not seen. Default: none.'),
    ports: distinct(port, MAX.ports)
      .optional()
      .describe(
        'Ports of a pod that portforward reaches. Default: none, in a rule that lets through; all, in a Deny. Example: [8080]',
      ),
    shell: z
      .literal(true)
      .optional()
      .describe('Interactive shells and commands with a terminal, by exec; and attach. Default: none. Example: true'),
  }),
  {
    cel: '!has(self.commands) && !has(self.files) && !has(self.ports) && !has(self.shell) || has(self.verbs)',
    message: 'commands, files, ports and shell narrow verbs; say which, for example verbs: [exec]',
    fieldPath: '.verbs',
    check: ({ commands, files, ports, shell, verbs }) =>
      verbs !== undefined || [commands, files, ports, shell].every((value) => value === undefined),
  },
  {
    cel: 'has(self.verbs) || has(self.resources) || has(self.namespaces) || has(self.names) || has(self.nonResourcePaths)',
    message: 'say what it covers: verbs, resources, namespaces, names or nonResourcePaths',
    check: (self) => Object.values(self).some((value) => value !== undefined),
  },
);
export type KubernetesSelector = z.infer<typeof KubernetesSelector>;

/** Whether a rule that is no Deny says enough: verbs on resources, or paths alone. */
export function saysWhatItLetsThrough({ verbs, resources, namespaces, names, nonResourcePaths }: KubernetesSelector): boolean {
  if (resources !== undefined) return verbs !== undefined;
  return nonResourcePaths !== undefined && verbs === undefined && namespaces === undefined && names === undefined;
}
