// admin/ has etcd's services for those who run a cluster, one class for each: users and roles, members, maintenance,
// snapshots. Calls on keys are in views/.

import { invalidArgument } from '../errors.js';
import { answer } from '../json.js';
import { KeyRange, type Keys, toRange } from '../kv/key-range.js';
import { idempotentCall, nothing, writeCall } from '../rpc/call.js';
import { Permission_Type, type Permission as PermissionMessage } from '../rpc/generated/authpb/auth.js';
import { AuthService } from '../rpc/generated/etcdserverpb/methods.js';
import type { AuthUserAddRequest } from '../rpc/generated/etcdserverpb/rpc.js';
import { type CallControl, describeCall, type Rpc } from '../rpc/rpc.js';
import { checkArgument, flag, type Kind, nonEmptyText, oneOf, secret } from '../util/kinds.js';
import { guardMethods } from '../util/methods.js';

/** What a role may do with keys; `write` alone doesn't allow reading. */
export type PermissionType = 'read' | 'write' | 'readwrite';

/** One permission of a role: etcd's `authpb.Permission`. */
export interface Permission {
  readonly type: PermissionType;
  /**
   * The keys that the permission covers. For a single key, its `rangeEnd` is empty. `roleRevokePermission` accepts it.
   */
  readonly keys: KeyRange;
}

/** Whether authentication is on. */
export interface AuthStatus {
  readonly enabled: boolean;
  /** Counts the changes of users, roles and permissions. */
  readonly authRevision: bigint;
}

/** How a new user proves who it is: with a password, or with `noPassword` by its client certificate alone. */
export type UserAddOptions = CallControl &
  (
    | { readonly password: string; readonly noPassword?: false }
    | {
        /** The user can't log in by password: its name is the common name of a client certificate. */
        readonly noPassword: true;
        readonly password?: undefined;
      }
  );

const userAddOptions = describeCall<
  CallControl & { readonly password: string; readonly noPassword: boolean }
>('userAdd()', { password: secret, noPassword: flag }, { example: '{ password }' });

/**
 * Users, roles and permissions: etcd's service `Auth`, available as `auth` of a client.
 *
 * A refused call rejects with an `EtcdError`: code `FAILED_PRECONDITION` where a user or role is missing or already
 * exists, `PERMISSION_DENIED` unless the client is a user with the role `root` (once authentication is on). The
 * server's message is in its `details`. No error contains a password.
 *
 * Reads are sent again while no server answers, changes only if the attempt before was certainly not applied.
 */
export class Auth {
  readonly #rpc: Rpc;

  static {
    guardMethods<Auth>(Auth, (it) => #rpc in it, {
      promised: {
        enable: 1,
        disable: 1,
        status: 1,
        userAdd: 2,
        userGet: 2,
        userList: 1,
        userDelete: 2,
        userChangePassword: 3,
        userGrantRole: 3,
        userRevokeRole: 3,
        roleAdd: 2,
        roleGet: 2,
        roleList: 1,
        roleDelete: 2,
        roleGrantPermission: 4,
        roleRevokePermission: 3,
      },
      direct: {},
    });
  }

  /** @internal */
  constructor(rpc: Rpc) {
    this.#rpc = rpc;
  }

  /**
   * Turns authentication on. There must be a user `root` with the role `root`. From then on, this client must also have
   * connected with `auth`. etcd: `Auth.AuthEnable`.
   */
  enable(options: CallControl = {}): Promise<void> {
    return this.#rpc.call(calls.enable, () => ({}), options);
  }

  /** Turns authentication off. etcd: `Auth.AuthDisable`. */
  disable(options: CallControl = {}): Promise<void> {
    return this.#rpc.call(calls.disable, () => ({}), options);
  }

  /** Whether authentication is on. etcd: `Auth.AuthStatus`. */
  status(options: CallControl = {}): Promise<AuthStatus> {
    return this.#rpc.call(calls.status, () => ({}), options);
  }

  /**
   * Adds a user. etcd: `Auth.UserAdd`.
   *
   * @throws InvalidArgumentError when neither a password nor `noPassword` is given, so that an unset variable never
   * makes a user without a password.
   */
  userAdd(name: string, options: UserAddOptions): Promise<void> {
    const request = (): AuthUserAddRequest => {
      const { noPassword = false, password } = options;
      if (noPassword === (password !== undefined)) {
        throw invalidArgument('a user has either a password or noPassword: true; give one of them');
      }
      return {
        name: checkName('name', name),
        password: noPassword ? '' : checkPassword(password),
        options: { noPassword },
        hashedPassword: '',
      };
    };
    return this.#rpc.call(calls.userAdd, request, options);
  }

  /** The roles of a user. etcd: `Auth.UserGet`. */
  userGet(name: string, options: CallControl = {}): Promise<string[]> {
    const request = () => ({ name: checkName('name', name) });
    return this.#rpc.call(calls.userGet, request, options);
  }

  /** The names of all users. etcd: `Auth.UserList`. */
  userList(options: CallControl = {}): Promise<string[]> {
    return this.#rpc.call(calls.userList, () => ({}), options);
  }

  /** Deletes a user. etcd: `Auth.UserDelete`. */
  userDelete(name: string, options: CallControl = {}): Promise<void> {
    const request = () => ({ name: checkName('name', name) });
    return this.#rpc.call(calls.userDelete, request, options);
  }

  /** Changes a user's password. The user's tokens become invalid. etcd: `Auth.UserChangePassword`. */
  userChangePassword(name: string, password: string, options: CallControl = {}): Promise<void> {
    const request = () => ({
      name: checkName('name', name),
      password: checkPassword(password),
      hashedPassword: '',
    });
    return this.#rpc.call(calls.userChangePassword, request, options);
  }

  /** Gives a user a role. etcd: `Auth.UserGrantRole`. */
  userGrantRole(name: string, role: string, options: CallControl = {}): Promise<void> {
    const request = () => ({
      user: checkName('name', name),
      role: checkName('role', role),
    });
    return this.#rpc.call(calls.userGrantRole, request, options);
  }

  /** Takes a role from a user. etcd: `Auth.UserRevokeRole`. */
  userRevokeRole(name: string, role: string, options: CallControl = {}): Promise<void> {
    const request = () => ({
      name: checkName('name', name),
      role: checkName('role', role),
    });
    return this.#rpc.call(calls.userRevokeRole, request, options);
  }

  /** Adds a role, without permissions. etcd: `Auth.RoleAdd`. */
  roleAdd(role: string, options: CallControl = {}): Promise<void> {
    const request = () => ({ name: checkName('role', role) });
    return this.#rpc.call(calls.roleAdd, request, options);
  }

  /** The permissions of a role. etcd: `Auth.RoleGet`. */
  roleGet(role: string, options: CallControl = {}): Promise<Permission[]> {
    const request = () => ({ role: checkName('role', role) });
    return this.#rpc.call(calls.roleGet, request, options);
  }

  /** The names of all roles. etcd: `Auth.RoleList`. */
  roleList(options: CallControl = {}): Promise<string[]> {
    return this.#rpc.call(calls.roleList, () => ({}), options);
  }

  /** Deletes a role. Users that had it lose it. etcd: `Auth.RoleDelete`. */
  roleDelete(role: string, options: CallControl = {}): Promise<void> {
    const request = () => ({ role: checkName('role', role) });
    return this.#rpc.call(calls.roleDelete, request, options);
  }

  /**
   * Lets a role read one key or a range of keys (`prefix('app/')`), write them, or both. It replaces a permission that
   * the role already has for exactly these keys. etcd: `Auth.RoleGrantPermission`.
   */
  roleGrantPermission(
    role: string,
    type: PermissionType,
    keys: Keys,
    options: CallControl = {},
  ): Promise<void> {
    const request = () => ({
      name: checkName('role', role),
      perm: { permType: permissionType(type), ...toRange(keys) },
    });
    return this.#rpc.call(calls.roleGrantPermission, request, options);
  }

  /** Takes the permission for exactly these keys from a role. etcd: `Auth.RoleRevokePermission`. */
  roleRevokePermission(role: string, keys: Keys, options: CallControl = {}): Promise<void> {
    const request = () => ({ role: checkName('role', role), ...toRange(keys) });
    return this.#rpc.call(calls.roleRevokePermission, request, options);
  }
}

const permissionTypes: Record<PermissionType, Permission_Type> = {
  read: Permission_Type.READ,
  write: Permission_Type.WRITE,
  readwrite: Permission_Type.READWRITE,
};

const permissionKind: Kind<PermissionType> = oneOf('read', 'write', 'readwrite');

function permissionType(type: PermissionType): Permission_Type {
  checkArgument('type', permissionKind, type);
  return permissionTypes[type];
}

function permissionTypeName(type: Permission_Type): PermissionType {
  if (type === Permission_Type.READ) return 'read';
  return type === Permission_Type.WRITE ? 'write' : 'readwrite';
}

function checkName(what: string, name: string): string {
  checkArgument(what, nonEmptyText, name);
  return name;
}

/** The message doesn't repeat the value, which may be a password. */
function checkPassword(password: unknown): string {
  checkArgument('password', secret, password);
  return password;
}

const calls = {
  enable: writeCall(AuthService.authEnable, nothing),
  disable: writeCall(AuthService.authDisable, nothing),
  status: idempotentCall(AuthService.authStatus, ({ enabled, authRevision }) =>
    answer({ enabled, authRevision }),
  ),
  userAdd: writeCall(AuthService.userAdd, nothing, userAddOptions),
  userGet: idempotentCall(AuthService.userGet, ({ roles }) => roles),
  userList: idempotentCall(AuthService.userList, ({ users }) => users),
  userDelete: writeCall(AuthService.userDelete, nothing),
  userChangePassword: writeCall(AuthService.userChangePassword, nothing),
  userGrantRole: writeCall(AuthService.userGrantRole, nothing),
  userRevokeRole: writeCall(AuthService.userRevokeRole, nothing),
  roleAdd: writeCall(AuthService.roleAdd, nothing),
  roleGet: idempotentCall(AuthService.roleGet, ({ perm }) => perm.map(toPermission)),
  roleList: idempotentCall(AuthService.roleList, ({ roles }) => roles),
  roleDelete: writeCall(AuthService.roleDelete, nothing),
  roleGrantPermission: writeCall(AuthService.roleGrantPermission, nothing),
  roleRevokePermission: writeCall(AuthService.roleRevokePermission, nothing),
};

function toPermission({ permType, key, rangeEnd }: PermissionMessage): Permission {
  return answer({
    type: permissionTypeName(permType),
    // Copies, as the decoded fields are views of a buffer that also holds other answers.
    keys: new KeyRange(new Uint8Array(key), new Uint8Array(rangeEnd)),
  });
}
