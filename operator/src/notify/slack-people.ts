import { type AccessRequest, visible } from '@chaperone/api';
import { z } from 'zod';
import type { SlackConfig } from './config.ts';
import type { SlackClient } from './slack-client.ts';

const flag = z.boolean().optional();
/** users.info (docs.slack.dev, "User object"); what is missing of it counts against the person. */
const UserInfo = z.looseObject({
  user: z.looseObject({
    id: z.string(),
    team_id: z.string().optional(),
    deleted: flag,
    is_bot: flag,
    is_app_user: flag,
    is_connector_bot: flag,
    is_workflow_bot: flag,
    is_restricted: flag,
    is_ultra_restricted: flag,
    is_stranger: flag,
    is_invited_user: flag,
    is_email_confirmed: flag,
    profile: z.looseObject({ email: z.string().optional() }).optional(),
  }),
});
type User = z.infer<typeof UserInfo>['user'];
const UsergroupUsers = z.looseObject({ users: z.array(z.string()).max(50_000) });

/** ASCII only: no two of these look alike, and none has a part that a template could mistake. */
const EMAIL = /^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])$/;
const MAX_USER = 256;

export type Person =
  | { readonly ok: false; readonly why: string }
  | {
      readonly ok: true;
      readonly user: string;
      /** Those of the groups that a request asks for, and that are configured, which the person is in. */
      readonly groups: (request: AccessRequest) => Promise<string[]>;
    };

/** Who of the cluster a Slack user is: by the e-mail address that Slack has confirmed, for full members of this workspace alone. */
export async function kubernetesUser(
  client: SlackClient,
  userId: string,
  config: Pick<SlackConfig, 'team' | 'user' | 'groups'>,
): Promise<Person> {
  const { user } = await client.ask('users.info', { user: userId }, UserInfo);
  const why = refusePerson(user, userId, config.team);
  if (why !== undefined) return { ok: false, why };
  const name = config.user.replace('{email}', () => user.profile?.email ?? '');
  if (name.length > MAX_USER || name.startsWith('system:') || visible(name) !== name)
    return { ok: false, why: 'your address stands for nobody in the cluster' };
  return { ok: true, user: name, groups: (request) => groupsOf(client, userId, config.groups, request) };
}

function refusePerson(user: User, id: string, team: string): string | undefined {
  const isProgram = [user.is_bot, user.is_app_user, user.is_connector_bot, user.is_workflow_bot].some(
    (each) => each !== false && each !== undefined,
  );
  if (user.id !== id || user.team_id !== team || user.is_stranger === true) return 'your account is of another workspace';
  if (user.deleted !== false) return 'your account is deactivated';
  if (user.is_bot !== false || isProgram) return 'programs decide nothing here';
  if (user.is_restricted !== false || user.is_ultra_restricted !== false || user.is_invited_user === true)
    return 'guests of this workspace decide nothing here';
  if (user.is_email_confirmed !== true) return 'Slack has not confirmed your e-mail address';
  if (!EMAIL.test(user.profile?.email ?? '')) return 'Slack shows no e-mail address of yours that could be a name in the cluster';
  return undefined;
}

async function groupsOf(
  client: SlackClient,
  userId: string,
  configured: SlackConfig['groups'],
  { spec }: AccessRequest,
): Promise<string[]> {
  const asked = new Set(spec.rules.flatMap(({ groups, all, escalation }) => [...groups, ...all, ...(escalation?.groups ?? [])]));
  const found: string[] = [];
  for (const [group, usergroup] of Object.entries(configured)) {
    if (!asked.has(group)) continue;
    const { users } = await client.ask('usergroups.users.list', { usergroup }, UsergroupUsers);
    if (users.includes(userId)) found.push(group);
  }
  return found;
}
