/**
 * The shapes that cross between window and engine, by their plain names. The generator tells apart what the engine
 * writes (optional fields are there, as null) and what it reads (they may be absent): answers are of the first kind.
 */
export type {
  ApiUsageView,
  AuditView_Serialize as AuditView,
  BackfillMode,
  BackfillPlan_Serialize as BackfillPlan,
  CheckColour,
  CheckView_Serialize as CheckView,
  CountView_Serialize as CountView,
  CountsView_Serialize as CountsView,
  DatabaseState_Serialize as DatabaseState,
  EnvironmentKind,
  EnvironmentView_Serialize as EnvironmentView,
  JobKind,
  JobStage,
  JobState,
  JobView_Serialize as JobView,
  MendAct,
  Mender,
  NewEnvironment_Deserialize as NewEnvironment,
  ObjectHealth,
  OrgView_Serialize as OrgView,
  PageState,
  PageView,
  PreflightView_Serialize as PreflightView,
  Problem_Serialize as Problem,
  RecognisedOrg,
  RejectView_Serialize as RejectView,
  RejectsView_Serialize as RejectsView,
  RowsView,
  SignInFlow,
  SignInState_Serialize as SignInState,
  View,
} from './bindings';

import type { ObjectStatus_Serialize, StatusView_Serialize } from './bindings';
import type { LiveObject, LiveStatus } from './live_shapes';

export type * from './live_shapes';
export type ObjectStatus = ObjectStatus_Serialize & LiveObject;
export type StatusView = Omit<StatusView_Serialize, 'objects'> & LiveStatus & { objects: ObjectStatus[] };
