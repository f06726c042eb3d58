// Objects of the HTTP API, as far as the page reads them.
import type { Json } from "./api";

export interface Sample {
  sample: number;
  timestamp: number;
}

export interface Details {
  rate: number;
  samples?: Sample[];
}

export type Counts = { [name: string]: number | Details | undefined };

export interface Page<T> {
  items: T[];
  filtered_count: number;
  total_count: number;
  page: number;
  page_count: number;
}

export interface Listener {
  protocol: string;
  ip_address: string;
  port: number;
}

export interface Overview {
  rabbitmq_version: string;
  product_name?: string;
  product_version?: string;
  cluster_name?: string;
  erlang_full_version?: string;
  node?: string;
  listeners?: Listener[];
  message_stats: Counts;
  queue_totals: Counts;
  churn_rates: Counts;
  object_totals: { [name: string]: number };
  rates_mode?: string;
}

export interface NodeInfo {
  name: string;
  uptime: number;
  mem_used: number;
  mem_limit: number;
  mem_alarm: boolean;
  disk_free: number;
  disk_free_limit: number;
  disk_free_alarm: boolean;
  fd_used: number;
  fd_total: number;
  sockets_used: number;
  os_pid?: string;
  config_files?: string[];
  db_dir?: string;
  enabled_plugins?: string[];
  [more: string]: unknown;
}

export interface Problem {
  problem: string;
  count: number;
  objects: { name: string; vhost?: string; messages_ready?: number }[];
}

export interface Queue {
  name: string;
  vhost: string;
  type: string;
  durable: boolean;
  auto_delete: boolean;
  exclusive: boolean;
  arguments: { [name: string]: Json };
  policy?: string | null;
  operator_policy?: string | null;
  effective_policy_definition?: { [name: string]: Json } | Json[];
  state: string;
  consumers?: number;
  messages?: number;
  messages_details?: Details;
  messages_ready?: number;
  messages_unacknowledged?: number;
  message_bytes?: number;
  memory?: number;
  segments?: number;
  first_timestamp?: number;
  idle_since?: string;
  message_stats?: Counts;
  consumer_details?: Consumer[];
  consumer_capacity?: number;
  delivery_limit?: number | string;
  messages_delayed?: number;
  owner_pid_details?: { name: string };
  [more: string]: unknown;
}

export interface ChannelDetails {
  name: string;
  connection_name: string;
  number: number;
  user: string;
  peer_host: string;
  peer_port: number;
}

export interface Consumer {
  consumer_tag: string;
  ack_required: boolean;
  active: boolean;
  activity_status: string;
  exclusive: boolean;
  prefetch_count: number;
  arguments: { [name: string]: Json };
  channel_details: ChannelDetails;
  queue: { name: string; vhost: string };
}

export interface Exchange {
  name: string;
  vhost: string;
  type: string;
  durable: boolean;
  auto_delete: boolean;
  internal: boolean;
  arguments: { [name: string]: Json };
  policy?: string;
  message_stats?: Counts;
  messages_delayed?: number;
}

export interface Binding {
  source: string;
  vhost: string;
  destination: string;
  destination_type: "queue" | "exchange";
  routing_key: string;
  arguments: { [name: string]: Json };
  properties_key: string;
}

export interface Connection {
  name: string;
  vhost: string;
  user: string;
  state: string;
  ssl: boolean;
  protocol: string;
  channels: number;
  connected_at: number;
  peer_host: string;
  peer_port: number;
  timeout: number;
  frame_max: number;
  channel_max: number;
  auth_mechanism: string;
  user_provided_name?: string;
  client_properties: { [name: string]: Json };
  recv_oct: number;
  send_oct: number;
  recv_oct_details?: Details;
  send_oct_details?: Details;
}

export interface Channel {
  name: string;
  number: number;
  vhost: string;
  user: string;
  state: string;
  confirm: boolean;
  transactional: boolean;
  prefetch_count: number;
  global_prefetch_count?: number;
  consumer_count: number;
  messages_unacknowledged: number;
  messages_unconfirmed: number;
  messages_uncommitted: number;
  acks_uncommitted: number;
  connection_details: { name: string };
  message_stats?: Counts;
  consumer_details?: Consumer[];
}

export interface Message {
  position?: number;
  payload: string;
  payload_encoding: string;
  payload_bytes: number;
  redelivered: boolean;
  exchange: string;
  routing_key: string;
  properties: { [name: string]: Json } | Json[];
  expires_at?: number | null;
  delivered_at?: number | null;
  consumer_tag?: string | null;
  delivery_tag?: number;
  message_count?: number;
  /** Of a message in a stream, ms since the epoch. */
  timestamp?: number;
}

export interface Holder {
  channel_details: ChannelDetails;
  messages_unacknowledged: number;
  messages: Message[];
}

export interface Vhost {
  name: string;
  description?: string;
  tags?: string[];
  default_queue_type?: string;
  tracing: boolean;
  protected_from_deletion?: boolean;
  metadata?: { [name: string]: Json };
  messages?: number;
  messages_ready?: number;
  messages_unacknowledged?: number;
  message_stats?: Counts;
}

export interface UserInfo {
  name: string;
  tags: string[] | string;
  limits?: { [name: string]: number };
}

export interface Permission {
  user: string;
  vhost: string;
  configure: string;
  write: string;
  read: string;
}

export interface TopicPermission {
  user: string;
  vhost: string;
  exchange: string;
  write: string;
  read: string;
}

export interface Policy {
  name: string;
  vhost: string;
  pattern: string;
  "apply-to": string;
  priority: number;
  definition: { [name: string]: Json };
}

export interface Limits {
  vhost?: string;
  user?: string;
  value: { [name: string]: number };
}

export interface Finding {
  rule: string;
  subject: string;
  problem: string;
  detail: string;
  advice: string;
  refused_from: string;
  count: number;
  first_seen: number;
  last_seen: number;
  connection: string;
}

export interface LogLine {
  number: number;
  time: number;
  level: string;
  category: string;
  text: string;
}

export type May = { configure: boolean; write: boolean; read: boolean };

/** The rate of a count: of `publish` it is `publish_details.rate`. */
export function rateOf(counts: Counts | undefined, name: string): number | undefined {
  const details = counts?.[`${name}_details`];
  return typeof details === "object" ? details.rate : undefined;
}

export function countOf(counts: Counts | undefined, name: string): number | undefined {
  const found = counts?.[name];
  return typeof found === "number" ? found : undefined;
}

/** Arguments or a definition: RabbitMQ shows an empty one as a list. */
export function fields(value: { [name: string]: Json } | Json[] | undefined | null): { [name: string]: Json } {
  return value === undefined || value === null || Array.isArray(value) ? {} : value;
}
