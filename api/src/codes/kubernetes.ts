import type { CodeEntry, CodeTable } from './entry.ts';

/** As `details.causes` of the Status that an agent gets, which has the code that decided first. */
const causes = (first: string, code: string): string => `"details":{"causes":[{"reason":"${first}",…},{"reason":"${code}",…}]}`;

const unread = (code: string, what: string, fix: string): CodeEntry => ({
  audience: ['agent', 'platform'],
  what,
  why: 'What two readers could take for two things is not judged, so it goes nowhere; it explains NotAnalysable.',
  fix,
  retry: 'change-it',
  example: causes('NotAnalysable', code),
});

const never = (code: string, what: string, why: string, fix: string): CodeEntry => ({
  audience: ['agent', 'platform'],
  what,
  why,
  fix,
  retry: 'do-not-retry',
  example: causes('NeverAllowed', code),
});

const answer = (code: string, what: string, why: string, fix: string): CodeEntry => ({
  audience: ['agent', 'owner'],
  what,
  why,
  fix,
  retry: 'try-later',
  example: causes('ResourceNotReady', code),
});

const NO_JSON = 'What cannot be masked is not shown, and what was shown of it already is cut off.';
const AROUND = 'It would be a way around the sidecars that pods get, or to rights that were not given.';

/** What explains another code to clients of the Kubernetes API: further causes of a Status, and details of `policy check`. */
export const KUBERNETES_CODES = {
  TargetTooLong: unread(
    'TargetTooLong',
    'The address is longer than 32 KiB.',
    'Use a smaller selector, or a file in place of a long command.',
  ),
  TargetForm: unread('TargetForm', 'The address is no path that begins with one slash.', 'Send the path alone, without host.'),
  TargetCharacter: unread('TargetCharacter', 'The address holds a character that none has.', 'Encode it, or leave it out.'),
  PathEncoded: unread('PathEncoded', 'The path has an encoded character.', 'Write the name as it is.'),
  PathSegment: unread(
    'PathSegment',
    'The path has an empty part, . or .., or a name that cannot stand there.',
    'Write each name once, without a slash at the end.',
  ),
  PathUnknown: unread('PathUnknown', 'The path leads to nothing that is judged.', 'Use the paths that kubectl uses.'),
  Method: unread('Method', 'The method has no meaning at that path.', 'Use GET, POST, PUT, PATCH or DELETE as the API has them.'),
  Encoding: unread('Encoding', 'A parameter is not encoded as URLs have it.', 'Encode it in UTF-8; write no semicolon.'),
  ParameterUnknown: unread('ParameterUnknown', 'A parameter means nothing there.', 'Leave it out.'),
  ParameterRepeated: unread('ParameterRepeated', 'A parameter stands there twice.', 'Keep one of them.'),
  ParameterValue: unread('ParameterValue', 'A parameter has a value that cannot stand there.', 'Write it as kubectl does.'),
  ParametersTooMany: unread('ParametersTooMany', 'There are too many parameters.', 'Ask with fewer of them.'),
  OptionsTwice: unread('OptionsTwice', 'Options of a deletion stand in address and body.', 'Keep one of both places.'),
  Body: unread('Body', 'There is a body where the method takes none.', 'Leave the body out.'),
  BodyMissing: unread('BodyMissing', 'There is no body where the method takes one.', 'Send the object or the patch.'),
  BodyTooLarge: unread(
    'BodyTooLarge',
    'The body is longer than 3 MiB, nested too deeply, or holds too many values.',
    'Send less of it; the API server takes no more either.',
  ),
  BodyUnreadable: unread(
    'BodyUnreadable',
    'The body is not JSON in UTF-8, nor protobuf of a kind that is known.',
    'Send JSON; YAML is read where it is JSON too.',
  ),
  BodyAmbiguous: unread(
    'BodyAmbiguous',
    'The body has a key twice, half a character, or a number that is not exact.',
    'Write each key once, and large numbers as text where the field takes that.',
  ),
  BodyShape: unread('BodyShape', 'The body is no object, or no list of operations.', 'Send what the content type says.'),
  HeaderRepeated: unread('HeaderRepeated', 'A header that says how to read it stands there twice.', 'Keep one of them.'),
  HeadersTooLarge: unread('HeadersTooLarge', 'The headers are too many or too long.', 'Send fewer of them.'),
  MethodOverride: unread('MethodOverride', 'A header asks for another method.', 'Send that method itself.'),
  Impersonation: unread('Impersonation', 'A header asks to be somebody else.', 'Leave out --as: agents act as themselves.'),
  MediaType: unread('MediaType', 'The body is of a type that is not read, or compressed.', 'Send it as application/json.'),
  Accept: unread('Accept', 'No answer in JSON is taken.', 'Add application/json to Accept.'),
  Upgrade: unread(
    'Upgrade',
    'A connection of its own is asked for where there is none, or none where there must be one.',
    'Use what needs no such connection, or a client that opens it as kubectl does.',
  ),
  Proxy: never(
    'Proxy',
    'It goes through a proxy of the API server.',
    'What goes by there is not seen.',
    'Use exec, attach or portforward where rules allow it.',
  ),
  TokenRequest: never(
    'TokenRequest',
    'It asks for a token of a ServiceAccount.',
    'With a token the agent could pass Chaperone by.',
    'Nothing allows it; a person makes the token.',
  ),
  EphemeralContainers: never(
    'EphemeralContainers',
    'It puts a container into a pod that runs.',
    AROUND,
    'Nothing allows it; a person debugs the pod.',
  ),
  HostPath: never('HostPath', 'A pod in it mounts files of its node.', AROUND, 'Leave the volume out.'),
  ForeignServiceAccount: never(
    'ForeignServiceAccount',
    'A pod in it runs as a ServiceAccount other than default and that of the agent.',
    AROUND,
    'Name one of these two.',
  ),
  ProtectedKind: never(
    'ProtectedKind',
    'It changes RBAC, admission, nodes, namespaces, volumes or objects of Chaperone.',
    AROUND,
    'A person makes the change.',
  ),
  OwnContainer: never(
    'OwnContainer',
    'It enters the sidecar of a pod.',
    'The sidecar holds the credentials of its pod.',
    'Name another container with -c.',
  ),
  OwnNamespace: never('OwnNamespace', 'It is about the namespace of Chaperone itself.', AROUND, 'Choose another namespace.'),
  ProtectedSecret: never(
    'ProtectedSecret',
    'A Secret is among it whose credential Chaperone holds.',
    'Agents never hold upstream credentials.',
    'Name other Secrets, or keep credentials in a namespace of their own.',
  ),
  AllNamespaces: never('AllNamespaces', 'It reaches into all namespaces, that of Chaperone too.', AROUND, 'Name one namespace.'),
  Ungoverned: never(
    'Ungoverned',
    'It makes or changes pods where no sidecar governs them.',
    'What runs in such pods could pass Chaperone by; with chaperone up that is everywhere.',
    'Choose a namespace of agents.',
  ),
  AnswerForeign: answer(
    'AnswerForeign',
    'The API server answers with what cannot be looked into: neither JSON nor a log.',
    NO_JSON,
    'Ask for JSON; see what answers in place of the API server.',
  ),
  AnswerNotJson: answer(
    'AnswerNotJson',
    'The answer says to be JSON and is none.',
    NO_JSON,
    'See what answers in place of the API server.',
  ),
  AnswerTooDeep: answer('AnswerTooDeep', 'The answer is nested deeper than 256 levels.', NO_JSON, 'Ask for less of the object.'),
  AnswerTooLarge: answer(
    'AnswerTooLarge',
    'One object of the answer is larger than 8 MiB.',
    NO_JSON,
    'Ask for less of the object.',
  ),
  AnswerCutOff: answer(
    'AnswerCutOff',
    'The answer ends before it is complete.',
    NO_JSON,
    'Try again; see whether the API server is well.',
  ),
  AnswerUnjudged: answer(
    'AnswerUnjudged',
    'A list says what it holds behind its items.',
    NO_JSON,
    'See what serves this group: kube-apiserver says it first.',
  ),
  UpstreamRedirect: answer(
    'UpstreamRedirect',
    'The API server answers with another address.',
    'Credentials are sent to the upstream that the owner named and nowhere else, so nothing is followed.',
    'Name the API server itself in spec.upstream.address.',
  ),
  NoRoom: answer(
    'NoRoom',
    'There is no memory for the request now.',
    'What agents make a sidecar hold is bounded.',
    'Try again, with smaller bodies.',
  ),
  FieldNotReadable: {
    audience: ['owner'],
    what: 'A labelled field of a resource cannot be read.',
    why: 'What cannot be found cannot be masked, so nothing is shown.',
    fix: 'Write it as RESOURCE:PATH, env:NAME or annotations:KEY in spec.sensitive.',
    retry: 'none',
    example: 'a labelled field is no RESOURCE:PATH, env:NAME or annotations:KEY (FieldNotReadable)',
  },
} as const satisfies CodeTable;
