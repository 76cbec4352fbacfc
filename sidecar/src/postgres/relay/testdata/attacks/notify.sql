# a session listens and another tells
listen news
select pg_notify('news', ssn) from app.customers

# NOTIFY with a literal
notify news, 'x'

# a function that tells
select app.tells(1)

# UNLISTEN after LISTEN in one message
listen news; select app.tells(1); unlisten *

# telling within a common table expression
with t as (select pg_notify('news', ssn) from app.customers) select 1 from t

# telling in a condition
select id from app.notes where pg_notify('news', (select ssn from app.customers where id = 1)) is null

# telling the channel's name instead of the payload
select pg_notify(ssn, 'x') from app.customers

# the channels that a session listens to
select pg_listening_channels()

# the queue's usage
select pg_notification_queue_usage()
